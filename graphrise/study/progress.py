"""One bar for the whole study, and how long it may still take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from graphrise.evaluate import format as fmt
from graphrise.study.plan import PlannedRun
from graphrise.study.storage import Try


def study_bar() -> Progress:
    """The bar, on stderr."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[state]}"),
        console=Console(stderr=True),
    )


def progress_of(
    runs: Sequence[PlannedRun],
    tries: Mapping[tuple[str, int], Try],
    fractions: Mapping[tuple[str, int], float],
    workers: int,
) -> tuple[float, str]:
    """How far a study is.

    Args:
        runs: All that is to be done.
        tries: The last try of each.
        fractions: How far the runs of this call's workers are, 0 to 1.
        workers: Runs side by side here.

    Returns:
        Runs done, fractions included, and a line: runs finished, running, failed, time left.
    """
    states = [tries[r.name, r.seed].state for r in runs]
    counts = {state: states.count(state) for state in ("finished", "running", "failed")}
    going = sum(
        fractions.get((r.name, r.seed), 0.0)
        for r, state in zip(runs, states, strict=True)
        if state == "running"
    )
    line = f"{counts['finished']} of {len(runs)} finished, {counts['running']} running"
    if counts["failed"]:
        line += f", {counts['failed']} failed"
    left = time_left(runs, tries, fractions, max(workers, counts["running"]))
    if left is not None and left > 0:
        line += f", about {fmt.duration(left)} left"
    return counts["finished"] + counts["failed"] + going, line


def time_left(
    runs: Sequence[PlannedRun],
    tries: Mapping[tuple[str, int], Try],
    fractions: Mapping[tuple[str, int], float],
    workers: int,
) -> float | None:
    """Seconds until all runs are done, by what the finished ones took; None if there are none."""
    done = [t.result for r in runs if (t := tries[r.name, r.seed]).state == "finished"]
    passes = sum(one["passes"] for one in done)
    if passes == 0:
        return None
    usual = passes / len(done)
    left = sum(
        (r.config.train.passes or usual) * (1 - fractions.get((r.name, r.seed), 0.0))
        for r in runs
        if tries[r.name, r.seed].state in ("waiting", "running")
    )
    return left * sum(one["seconds"] for one in done) / passes / max(workers, 1)
