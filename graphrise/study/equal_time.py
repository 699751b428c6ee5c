"""Runs at the time at which the baseline ended, from the probes of the validation set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graphrise.evaluate.spread import Spread, spread
from graphrise.study.gap import Gap
from graphrise.study.plan import PlannedRun, References
from graphrise.study.setup import setup_seconds
from graphrise.study.storage import Try
from graphrise.study.summary import METRIC, Scores, gap_of


@dataclass(frozen=True)
class TimedRow:
    """One run, the seeds that it and the baseline finished.

    Attributes:
        run: Its name.
        setup: Seconds before training, mean over all its seeds (`setup.setup_seconds`); None: not
            known.
        ratio: Its time over the baseline's, by means; None without a seed in common.
        passes: Encoder passes by then, mean over seeds; None without a probe until then.
        ended: Seeds whose training had ended by then.
        seeds: How many are in common.
        probed: How many of them had been probed by then.
        validation: recall@1 then, 0..1, over the seeds that were probed until then.
        gap: Share of the validation gap between the references, all at that time; None for these
            two, and where there is no such gap.
    """

    run: str
    setup: float | None
    ratio: float | None
    passes: float | None
    ended: int
    seeds: int
    probed: int
    validation: Spread | None
    gap: Gap | None


@dataclass(frozen=True)
class EqualTime:
    """A study at the baseline's time.

    Attributes:
        references: What is compared with.
        validation: Query set that was probed; None: none.
        seconds: The baseline's time, mean over seeds.
        with_setup: Whether times, this one too, count what comes before training: where it is
            known of all runs.
        rows: In the plan's order.
    """

    references: References
    validation: str | None
    seconds: float
    with_setup: bool
    rows: Sequence[TimedRow]


@dataclass(frozen=True)
class _Timed:
    """One training: seconds before it, its own, and its probes.

    Attributes:
        setup: None: not known.
        seconds: Setup included where it counts.
        probes: float64 [3, P]: seconds likewise, passes and scores.
    """

    setup: float | None
    seconds: float
    probes: np.ndarray

    def at(self, moment: float) -> tuple[float, float] | None:
        """Passes and score at a moment, or at the end; None before the first probe."""
        seconds, passes, scores = self.probes
        if seconds.size == 0 or moment < seconds[0]:
            return None
        return float(np.interp(moment, seconds, passes)), float(np.interp(moment, seconds, scores))


_Seeds = dict[int, _Timed]


def equal_time(
    runs: Sequence[PlannedRun],
    tries: Mapping[tuple[str, int], Try],
    references: References,
    out: Path,
) -> EqualTime | None:
    """Hold runs beside each other at the time at which the baseline of the same seed ended.

    Seeds are trained one after the other, so that what else the machine did is more alike within
    one. Scores between two probes are interpolated; a run that ended earlier counts with its end.

    Args:
        runs: The plan.
        tries: The last try of each run.
        references: What runs are held against.
        out: Study folder.

    Returns:
        None without a finished baseline, or where it is the only run that finished.
    """
    timed, with_setup = _timed(runs, tries, out)
    base = timed.get(references.baseline or "", {})
    if not base or len(timed) < 2:
        return None
    ends = {seed: one.seconds for seed, one in base.items()}
    paired = {
        name: {seed: one for seed, one in of.items() if seed in base} for name, of in timed.items()
    }
    reached = {
        name: {seed: at for seed, one in of.items() if (at := one.at(ends[seed])) is not None}
        for name, of in paired.items()
    }
    scores: Scores = {
        name: {seed: score for seed, (_, score) in of.items()} for name, of in reached.items()
    }
    rows = []
    for name in dict.fromkeys(run.name for run in runs if run.name in timed):
        of, setups = paired[name], [one.setup for one in timed[name].values()]
        passes, values = [p for p, _ in reached[name].values()], list(scores[name].values())
        row = TimedRow(
            run=name,
            setup=_mean(setups),
            ratio=_ratio(of, ends),
            passes=spread(passes).mean if passes else None,
            ended=sum(one.seconds <= ends[seed] for seed, one in of.items()),
            seeds=len(of),
            probed=len(values),
            validation=spread(values) if values else None,
            gap=gap_of(scores, name, references),
        )
        rows.append(row)
    seconds = spread(list(ends.values())).mean
    return EqualTime(references, runs[0].validation, seconds, with_setup, rows)


def _timed(
    runs: Sequence[PlannedRun], tries: Mapping[tuple[str, int], Try], out: Path
) -> tuple[dict[str, _Seeds], bool]:
    """Finished runs by name and seed, and whether their setup is in their seconds."""
    done = [run for run in runs if tries[run.name, run.seed].state == "finished"]
    setups = [setup_seconds(run, tries[run.name, run.seed], out) for run in done]
    with_setup = None not in setups
    found: dict[str, _Seeds] = {}
    for run, setup in zip(done, setups, strict=True):
        result = tries[run.name, run.seed].result
        before = (setup or 0.0) if with_setup else 0.0
        points = [point for point in result["curve"] if METRIC in point]
        columns = [[point[key] for point in points] for key in ("seconds", "passes", METRIC)]
        probes = np.array(columns, dtype=np.float64)
        probes[0] += before
        found.setdefault(run.name, {})[run.seed] = _Timed(setup, before + result["seconds"], probes)
    return found, with_setup


def _mean(seconds: Sequence[float | None]) -> float | None:
    known = [one for one in seconds if one is not None]
    return spread(known).mean if len(known) == len(seconds) else None


def _ratio(run: _Seeds, ends: Mapping[int, float]) -> float | None:
    of_baseline = sum(ends[seed] for seed in run)
    return sum(one.seconds for one in run.values()) / of_baseline if of_baseline else None
