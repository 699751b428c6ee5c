"""Runs over their seeds: score, cost, and the difference to the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphrise.errors import DataError
from graphrise.evaluate.spread import Spread, spread
from graphrise.study.gap import Gap, gap_by_seed
from graphrise.study.plan import PlannedRun, References
from graphrise.study.stats import Paired, paired
from graphrise.study.storage import Try

METRIC = "recall@1"
"""What runs are compared by."""

Scores = dict[str, dict[int, float]]
"""Of finished runs by seed."""


@dataclass(frozen=True)
class SummaryRow:
    """One run, all its finished seeds.

    Attributes:
        run: Its name.
        note: What sets it apart.
        seeds: How many finished.
        validation: recall@1 on the validation set, 0..1; None without such a set.
        test: The same on the test set.
        difference: Test recall@1 against the baseline; None for it, or without a common seed.
        gap: Share of the test gap from the baseline to the upper reference; None for these two,
            or where there is no such gap.
        passes: Encoder passes in training, mean over seeds.
        seconds: Wall time of training, mean over seeds.
    """

    run: str
    note: str
    seeds: int
    validation: Spread | None
    test: Spread
    difference: Paired | None
    gap: Gap | None
    passes: float
    seconds: float


@dataclass(frozen=True)
class Summary:
    """A study's table.

    Attributes:
        name: Of the study.
        rows: In the plan's order, runs with a finished seed.
        references: What is compared with.
        validation: Query set; None: none.
        test: Query set.
        planned: Trainings in all.
        missing: What is not finished: `run, seed`, and why.
    """

    name: str
    rows: Sequence[SummaryRow]
    references: References
    validation: str | None
    test: str
    planned: int
    missing: Mapping[str, str]


def summary(
    name: str,
    runs: Sequence[PlannedRun],
    tries: Mapping[tuple[str, int], Try],
    references: References,
) -> Summary:
    """Put a study's finished runs side by side.

    Args:
        name: Of the study.
        runs: The plan.
        tries: The last try of each run.
        references: What they are held against.

    Raises:
        DataError: No run is finished.
    """
    done: dict[str, dict[int, PlannedRun]] = {}
    missing = {}
    for run in runs:
        last = tries[run.name, run.seed]
        if last.state == "finished":
            done.setdefault(run.name, {})[run.seed] = run
        else:
            lines = last.error.strip().splitlines()
            why = f"{last.state}: {lines[-1]}" if lines else last.state
            missing[f"{run.name}, seed {run.seed}"] = why
    if not done:
        raise DataError(f"{name}: no run is finished")
    where = runs[0].test
    scores: Scores = {
        run: {seed: score_of(tries[run, seed], where) for seed in of} for run, of in done.items()
    }
    rows = [
        _row(list(done[run].values()), tries, scores, references)
        for run in dict.fromkeys(r.name for r in runs)
        if run in done
    ]
    return Summary(name, rows, references, runs[0].validation, where, len(runs), missing)


def score_of(last: Try, where: str) -> float:
    """recall@1 of a finished run on one of its query sets, 0..1."""
    return float(last.result["metrics"][where][METRIC])


def _row(
    runs: Sequence[PlannedRun],
    tries: Mapping[tuple[str, int], Try],
    scores: Scores,
    references: References,
) -> SummaryRow:
    name, where = runs[0].name, runs[0].validation
    results = [tries[run.name, run.seed] for run in runs]
    return SummaryRow(
        run=name,
        note=runs[0].note,
        seeds=len(runs),
        validation=None if where is None else spread([score_of(r, where) for r in results]),
        test=spread(list(scores[name].values())),
        difference=_difference(scores, name, references.baseline),
        gap=gap_of(scores, name, references),
        passes=spread([r.result["passes"] for r in results]).mean,
        seconds=spread([r.result["seconds"] for r in results]).mean,
    )


def _difference(scores: Scores, run: str, baseline: str | None) -> Paired | None:
    ours, base = scores.get(run, {}), scores.get(baseline or "", {})
    common = [seed for seed in ours if seed in base and run != baseline]
    return paired([ours[s] for s in common], [base[s] for s in common]) if common else None


def gap_of(scores: Scores, run: str, references: References) -> Gap | None:
    """Share of the gap between the references that a run closes.

    Returns:
        None for the references themselves, and where there is no gap (`gap.gap_closed`).
    """
    base, upper = references.baseline, references.upper
    if base is None or upper is None or run in (base, upper):
        return None
    return gap_by_seed(scores.get(run, {}), scores.get(base, {}), scores.get(upper, {}))
