"""Part of case `head`: training steps of label tables, in turn, in the process that this is.

`python -m benchmarks.head_worker SETTINGS` prints seconds, milliseconds and peak memory as JSON.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.child import first_to_go, own_peak_mib
from benchmarks.head_peers import DenseRows, SparseRows
from graphrise.nn.heads import LabelTable, LogitRule, LogUniform, SampledSoftmax
from graphrise.nn.rowwise import RowwiseAdagrad

OWN = (0.5, 0.3, 0.2)
"""Shares of an image's labels."""
SCALE = 16.0
WARM_UP, FEWEST = 3, 5
"""Steps of every way that are not timed, and timed steps at least."""
_BARE = 1 << 18
"""Labels whose numbers are filled at once to time it."""

Batch = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one process does.

    Attributes:
        ways: A table's name ("float32" and "bfloat16" are ours, "sparse" and "dense" peers) and its
            number of labels, each; their steps are taken in turn.
        dim: Of the label vectors.
        batch: Images.
        negatives: Labels drawn a step.
        steps: Timed steps of each way.
        limit_s: Seconds after which no more are begun.
    """

    ways: list[tuple[str, int]]
    dim: int
    batch: int
    negatives: int
    steps: int
    limit_s: float = math.inf


def measure(work: Work) -> dict[str, Any]:
    """Make the tables, train, and give figures by way.

    Returns:
        "made" (seconds that making each table took), "bare" (of filling as many numbers), "steps"
        (milliseconds of each step) and "peak_mib" of the process.
    """
    bare = [_bare_fill(labels, work.dim) for _, labels in work.ways]
    made, step = [], []
    for name, labels in work.ways:
        start = time.perf_counter()
        table, optimizer = _table(name, labels, work.dim)
        made.append(time.perf_counter() - start)
        step.append(training_step(table, optimizer, labels, work.negatives))
    return {"made": made, "bare": bare, "steps": _in_turn(work, step), "peak_mib": own_peak_mib()}


def _in_turn(work: Work, step: list[Callable[[Batch], float]]) -> list[list[float]]:
    """Milliseconds of forward, backward and update of each way, step by step."""
    generator = torch.Generator().manual_seed(0)
    times: list[list[float]] = [[] for _ in step]
    begun = time.perf_counter()
    for turn in range(WARM_UP + work.steps if step else 0):
        timed = turn - WARM_UP
        if timed == 0:
            begun = time.perf_counter()
        if timed >= FEWEST and time.perf_counter() - begun > work.limit_s:
            break
        # Each goes first as often as the other.
        for way in sorted(range(len(step)), reverse=turn % 2 == 1):
            batch = make_batch(work.ways[way][1], work, generator)
            start = time.perf_counter()
            loss = step[way](batch)
            took = time.perf_counter() - start
            if not math.isfinite(loss):
                raise ArithmeticError(f"{work.ways[way]}: loss {loss} in step {turn}")
            if timed >= 0:
                times[way].append(1000 * took)
    return times


def make_batch(labels: int, work: Work, generator: torch.Generator) -> Batch:
    """Random embeddings, and of each image three distinct labels by the log-uniform law."""
    own = torch.zeros(work.batch, len(OWN), dtype=torch.long)
    again = torch.ones(work.batch, dtype=torch.bool)
    while bool(again.any()):
        u = torch.rand(int(again.sum()), len(OWN), dtype=torch.float64, generator=generator)
        own[again] = torch.expm1(u * math.log(labels + 1)).long().clamp(max=labels - 1)
        ranked = own.sort(dim=1).values
        again = (ranked[:, 1:] == ranked[:, :-1]).any(dim=1)
    z = torch.randn(work.batch, work.dim, generator=generator).requires_grad_()
    row = torch.arange(work.batch).repeat_interleave(len(OWN))
    return z, row, own.flatten(), torch.tensor(OWN).repeat(work.batch)


def _table(name: str, labels: int, dim: int) -> tuple[nn.Module, Optimizer]:
    if name in ("sparse", "dense"):
        peer = SparseRows(labels, dim) if name == "sparse" else DenseRows(labels, dim)
        return peer, peer.optimizer()
    table = LabelTable(labels, dim, dtype={"float32": torch.float32}.get(name, torch.bfloat16))
    return table, RowwiseAdagrad([table], lr=0.1)


def training_step(
    table: nn.Module, optimizer: Optimizer, labels: int, negatives: int
) -> Callable[[Batch], float]:
    """A function that takes one step on a batch and gives its loss.

    Args:
        table: Ours or a peer's.
        optimizer: Of its rows.
        labels: C.
        negatives: Labels drawn a step.
    """
    # A peer is a table to the head: one loss for all.
    head = SampledSoftmax(
        cast(LabelTable, table), LogUniform(labels, negatives), rule=LogitRule(scale=SCALE)
    )

    def step(batch: Batch) -> float:
        loss = head(*batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def _bare_fill(labels: int, dim: int) -> float:
    """Seconds to fill new memory with uniform numbers in one call, from a part of the labels."""
    rows = min(labels, _BARE)
    start = time.perf_counter()
    torch.empty(rows, dim).uniform_()
    return (time.perf_counter() - start) * labels / rows


def report(work: Callable[[], dict[str, Any]]) -> None:
    """Print the figures that `work` gives, or that an allocation failed."""
    try:
        found = work()
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        found = {"missing": "memory could not be allocated"}
    print(json.dumps(found))


def main(settings: str) -> None:
    """Measure and print."""
    first_to_go()
    report(lambda: measure(Work(**json.loads(settings))))


if __name__ == "__main__":
    main(sys.argv[1])
