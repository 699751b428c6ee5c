"""Ways to do one thing, timed in turn on a CPU or a GPU."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping

import torch

from benchmarks.child import reason

WARM_UP = 2
"""Calls of every way that are not timed: they compile, and take memory from the system."""


def in_turn(
    ways: Mapping[str, Callable[[], object]],
    device: torch.device,
    repetitions: int,
    failed: dict[str, str] | None = None,
) -> dict[str, list[float]]:
    """Milliseconds of every call of each way; one call of each after the other.

    Args:
        ways: By name.
        device: Where they compute; its work is waited for.
        repetitions: Timed calls of each.
        failed: Gets the reason of a way that raises, which is then left out; None: it raises.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(WARM_UP + repetitions):
        # Each goes first as often as last.
        for name in sorted(ways, reverse=turn % 2 == 1):
            if name not in times:
                continue
            try:
                took = _milliseconds(ways[name], device)
            except Exception as error:
                if failed is None:
                    raise
                traceback.print_exc()
                failed[name] = reason(error)
                del times[name]
                continue
            if turn >= WARM_UP:
                times[name].append(took)
    return times


def copying(num_bytes: float, device: torch.device) -> Callable[[], object]:
    """A copy that reads half of so many bytes and writes the other half: the floor of an op."""
    source = torch.empty(max(1, int(num_bytes / 2)), dtype=torch.uint8, device=device).fill_(1)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def _milliseconds(way: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        way()
        end.record()
        torch.cuda.synchronize(device)
        return begin.elapsed_time(end)
    start = time.perf_counter()
    way()
    return 1000 * (time.perf_counter() - start)
