"""Runs over their seeds: score, cost, and the difference to the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphrise.errors import DataError
from graphrise.evaluate.spread import Spread, spread
from graphrise.study.plan import PlannedRun
from graphrise.study.stats import Paired, paired
from graphrise.study.storage import Try

METRIC = "recall@1"
"""What runs are compared by."""


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
        passes: Encoder passes in training, mean over seeds.
        seconds: Wall time of training, mean over seeds.
    """

    run: str
    note: str
    seeds: int
    validation: Spread | None
    test: Spread
    difference: Paired | None
    passes: float
    seconds: float


@dataclass(frozen=True)
class Summary:
    """A study's table.

    Attributes:
        name: Of the study.
        rows: In the plan's order, runs with a finished seed.
        baseline: Name of a run; None: nothing is compared.
        validation: Query set; None: none.
        test: Query set.
        planned: Trainings in all.
        missing: What is not finished: `run, seed`, and why.
    """

    name: str
    rows: Sequence[SummaryRow]
    baseline: str | None
    validation: str | None
    test: str
    planned: int
    missing: Mapping[str, str]


def summary(
    name: str,
    runs: Sequence[PlannedRun],
    tries: Mapping[tuple[str, int], Try],
    baseline: str | None,
) -> Summary:
    """Put a study's finished runs side by side.

    Args:
        name: Of the study.
        runs: The plan.
        tries: The last try of each run.
        baseline: Name of the run that the others are held against.

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
    scores = {
        run: {seed: _score(tries[run, seed], one.test) for seed, one in of.items()}
        for run, of in done.items()
    }
    rows = [
        _row(list(done[run].values()), tries, scores[run], scores.get(baseline or "", {}), baseline)
        for run in dict.fromkeys(r.name for r in runs)
        if run in done
    ]
    first = runs[0]
    return Summary(name, rows, baseline, first.validation, first.test, len(runs), missing)


def _score(last: Try, where: str) -> float:
    return float(last.result["metrics"][where][METRIC])


def _row(
    runs: Sequence[PlannedRun],
    tries: Mapping[tuple[str, int], Try],
    scores: Mapping[int, float],
    base: Mapping[int, float],
    baseline: str | None,
) -> SummaryRow:
    first = runs[0]
    results = [tries[run.name, run.seed] for run in runs]
    common = [seed for seed in scores if seed in base and first.name != baseline]
    where = first.validation
    return SummaryRow(
        run=first.name,
        note=first.note,
        seeds=len(runs),
        validation=None if where is None else spread([_score(r, where) for r in results]),
        test=spread(list(scores.values())),
        difference=paired([scores[s] for s in common], [base[s] for s in common])
        if common
        else None,
        passes=spread([r.result["passes"] for r in results]).mean,
        seconds=spread([r.result["seconds"] for r in results]).mean,
    )
