"""The rows of case `peers`: what the processes of a way say, against cross-entropy's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.child import Missing
from benchmarks.peers_ways import Way
from benchmarks.rows import Row

Found = dict[str, Any] | Missing
Pick = Callable[[dict[str, Any]], float]


def rows_of(way: Way, found: Sequence[Found], base: Sequence[Found]) -> list[Row]:
    """Quality, speed, time, passes and memory of one way.

    Args:
        way: What was run.
        found: Of its processes, one a seed.
        base: Of cross-entropy's.
    """
    config = way.config
    labelled = f"batches of {config.train.batch_size} labelled images"
    common: dict[str, Any] = {
        "case": "peers",
        "variant": _name(way.name, found),
        "baseline": "cross-entropy",
        "peak_mib": max(_all(found, lambda one: one["peak_mib"])),
        "size": f"emoji, {config.images.size} px, {config.train.passes:,} passes, {len(found)} "
        f"seeds; {labelled if way.peer is None else way.peer}",
    }

    def row(metric: str, unit: str, pick: Pick, *, higher_is_better: bool = True) -> Row:
        return Row(
            metric=metric,
            values=_all(found, pick),
            unit=unit,
            baseline_values=_all(base, pick),
            higher_is_better=higher_is_better,
            **common,
        )

    return [
        *[row(f"recall@1 {where}", "%", recall(where)) for where in config.evaluate.queries],
        row("training throughput", "images/s", lambda one: one["rate"]),
        row("training time", "s", lambda one: one["seconds"], higher_is_better=False),
        row("encoder passes", "images", lambda one: one["passes"], higher_is_better=False),
        row("peak memory", "MiB", lambda one: one["peak_mib"], higher_is_better=False),
    ]


def recall(where: str) -> Pick:
    """Recall@1 of a query set, in percent, from what a process says."""
    return lambda one: 100 * one["recall@1"][where]


def _all(found: Sequence[Found], pick: Pick) -> list[float]:
    """What the processes say, or one NaN if none says anything."""
    return [pick(one) for one in found if not isinstance(one, Missing)] or [math.nan]


def _name(name: str, found: Sequence[Found]) -> str:
    """A name, and how many of its runs are missing and why if some are."""
    why = [one.why for one in found if isinstance(one, Missing)]
    return f"{name}: {len(why)} of {len(found)} MISSING, {why[0]}" if why else name
