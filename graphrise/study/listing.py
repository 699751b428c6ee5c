"""What a study would do, as text."""

from __future__ import annotations

from collections.abc import Sequence

from graphrise.study.plan import PlannedRun


def listing(runs: Sequence[PlannedRun]) -> str:
    """A line a run: name, budget and seeds, and what sets it apart; then the sum.

    Args:
        runs: The plan, or a part of it.
    """
    seeds: dict[str, list[PlannedRun]] = {}
    for run in runs:
        seeds.setdefault(run.name, []).append(run)
    width = max(len(name) for name in seeds)
    lines = [
        f"{name.ljust(width)}  {len(of)} x {of[0].budget}  {of[0].note}".rstrip()
        for name, of in seeds.items()
    ]
    known = [run.config.train.passes for run in runs]
    passes = sum(one for one in known if one is not None)
    more = " and what the epochs take" if None in known else ""
    total = f"{len(runs)} trainings, about {passes:,} encoder passes{more}"
    graphs = len({run.source for run in runs})
    return "\n".join([*lines, f"{total}; {graphs} graph{'s' if graphs > 1 else ''}"])
