"""How the parts of case `ops` try a way: what fails is in the rows, and loud where it is ours."""

from __future__ import annotations

import gc
import math
import traceback
from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from benchmarks.child import Missing, reason
from benchmarks.rows import Row
from benchmarks.timing import in_turn

COPY = "copy of as many bytes"
FAILED = ": FAILED, "
"""Between the name of a way of ours and why it has no figure; "MISSING" of a peer."""

Figures = list[float] | Missing
"""One a repetition, or why there is none."""


def freed() -> None:
    """Give back memory of the GPU that is no longer used, also to other processes."""
    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def attempt(name: str, act: Callable[[], float | Missing]) -> float | Missing:
    """A figure, or why there is none, which is printed too.

    Args:
        name: Of the way.
        act: Measures.
    """
    try:
        found = act()
    except Exception as error:
        traceback.print_exc()
        found = Missing(reason(error))
    if isinstance(found, Missing):
        print(f"missing: {name} ({found.why})")
    return found


def looked_at(way: Callable[[], object], look: Callable[[], None]) -> Callable[[], object]:
    """A way whose results are looked at before its first call; what it raises counts as the way's.

    Args:
        way: Not called before the look.
        look: Raises where they are wrong.
    """
    looks = [look]

    def call() -> object:
        if looks:
            looks.pop()()
            freed()
        return way()

    return call


def near(got: Tensor, want: Tensor, tolerance: float) -> None:
    """Demand that every row lies within a part of its own length, however short it is.

    Args:
        got: `[N, D]`.
        want: `[N, D]`, float64.
        tolerance: That part.

    Raises:
        AssertionError: One does not.
    """
    length = want.norm(dim=1, keepdim=True).clamp(min=1e-30)
    torch.testing.assert_close(got.double() / length, want / length, rtol=0, atol=tolerance)


def timed(
    ways: Mapping[str, Callable[[], object]], device: torch.device, repetitions: int
) -> dict[str, Figures]:
    """Milliseconds of every call of each way, in turn; or why a way has none.

    Args:
        ways: By name.
        device: Where they compute.
        repetitions: Timed calls of each.
    """
    failed: dict[str, str] = {}
    times = in_turn(ways, device, repetitions, failed)
    return {name: times[name] if name in times else Missing(failed[name]) for name in ways}


def row(
    ours: str,
    theirs: str,
    found: Mapping[str, Figures],
    *,
    own: Collection[str],
    metric: str,
    size: str,
    unit: str = "ms",
) -> Row:
    """One way's figures against another's.

    Args:
        ours: Name of the first.
        theirs: Name of the second.
        found: Figures of both.
        own: Names of ways that are ours, not peers.
        metric: What was measured.
        size: Of what.
        unit: Of the figures; less is better.
    """
    (variant, values), (baseline, others) = (
        _named(name, found[name], name in own) for name in (ours, theirs)
    )
    return Row(
        case="ops",
        variant=variant,
        metric=metric,
        values=values,
        unit=unit,
        baseline=baseline,
        baseline_values=others,
        higher_is_better=False,
        size=size,
    )


def broken(part: str, error: Exception) -> Row:
    """Of a part that ended early."""
    name = f"part {part}"
    found: dict[str, Figures] = {name: Missing(reason(error)), "none": [math.nan]}
    return row(name, "none", found, own=(name,), metric="all of it", size="")


def failures(rows: Collection[Row]) -> list[str]:
    """What of ours has no figure, and why."""
    found = [(row.metric, name) for row in rows for name in (row.variant, row.baseline)]
    return [f"{metric}: {name}" for metric, name in dict.fromkeys(found) if FAILED in name]


def _named(name: str, found: Figures, ours: bool) -> tuple[str, list[float]]:
    if isinstance(found, Missing):
        return f"{name}{FAILED if ours else ': MISSING, '}{found.why}", [math.nan]
    return name, found
