"""Part of case `ops`: weighted distances along all edges of a graph, their time and their memory.

Forward and backward pass, with the gradient of the embeddings. The peak of a way is measured in a
process of its own.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.child import Missing, answer, first_to_go, forget_peak, own_peak_mib
from benchmarks.rows import Row
from benchmarks.timing import copying, in_turn
from graphrise.ops import reference
from graphrise.ops.edge_distance import edge_distance
from graphrise.ops.edge_energy import edge_energy

DIM = 64
SIZES = {"cpu": (1_000_000, 10_000_000), "cuda": (4_000_000, 40_000_000)}
"""Nodes and entries."""
OURS, SYMMETRIC, PAIRS = "edge_energy", "edge_energy, symmetric", "edge_distance of all pairs"
EAGER, COMPILED = "plain torch", "plain torch, torch.compile"
COPY = "copy of as many bytes"
WAYS = (OURS, SYMMETRIC, PAIRS, EAGER, COMPILED)
_CHECKED = 1000


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A random graph with both directions of every edge, and what ways need of it.

    Attributes:
        z: `[N, D]`.
        rowptr: int64 `[N + 1]`.
        col: int64 `[E]`.
        weight: `[E]`.
        row: int64 `[E]`, of entries; a way over rows has no need of it.
    """

    z: Tensor
    rowptr: Tensor
    col: Tensor
    weight: Tensor
    row: Tensor


def rows(device: torch.device, repetitions: int) -> list[Row]:
    """Measure peaks in one process each, then times in turn, after a look at results.

    Args:
        device: CPU or GPU.
        repetitions: Timed calls of every way.
    """
    nodes, entries = SIZES[device.type]
    peaks = {name: _peak(name, device, nodes, entries) for name in WAYS}
    able = [name for name, found in peaks.items() if not isinstance(found, Missing)]
    graph = make(nodes, entries, device)
    _alike(graph)
    ways: dict[str, Callable[[], object]] = {name: way(name, graph) for name in able}
    ways[COPY] = copying(_touched(graph), device)
    times = in_turn(ways, device, repetitions)
    size = f"{nodes:,} nodes, {entries:,} edges, D {DIM}, {graph.z.dtype}"
    found = []
    for ours in (OURS, SYMMETRIC, PAIRS):
        for theirs in (EAGER, COMPILED, COPY):
            found.append(_row(ours, theirs, times, peaks, size))
        found.append(_memory(ours, graph, peaks, size))
    found += [_memory(theirs, graph, peaks, size) for theirs in (EAGER, COMPILED)]
    return found


def make(nodes: int, entries: int, device: torch.device) -> Graph:
    """Random embeddings and pairs, both directions of each, by row."""
    generator = torch.Generator(device).manual_seed(0)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    z = torch.randn(nodes, DIM, device=device, generator=generator).to(dtype)
    pairs = torch.randint(nodes, (2, entries // 2), device=device, generator=generator)
    weight = torch.rand(entries // 2, device=device, generator=generator).to(dtype)
    row, order = torch.cat((pairs[0], pairs[1])).sort(stable=True)
    count = torch.bincount(row, minlength=nodes)
    return Graph(
        z=z.requires_grad_(),
        rowptr=torch.cat((count.new_zeros(1), count.cumsum(0))),
        col=torch.cat((pairs[1], pairs[0]))[order],
        weight=torch.cat((weight, weight))[order],
        row=row,
    )


def way(name: str, graph: Graph) -> Callable[[], Tensor]:
    """A forward and a backward pass that leave nothing behind."""
    z, rowptr, col, weight, row = graph.z, graph.rowptr, graph.col, graph.weight, graph.row

    def plain(z: Tensor, row: Tensor, col: Tensor, weight: Tensor) -> Tensor:
        return (weight * (z[row] - z[col]).square().sum(dim=1)).sum()

    if name in (OURS, SYMMETRIC):
        both = name == SYMMETRIC
        energy: Callable[[], Tensor] = lambda: edge_energy(  # noqa: E731
            z, rowptr, col, weight, symmetric=both
        )
    elif name == PAIRS:
        pairs = torch.stack((row, col))
        energy = lambda: (weight * edge_distance(z, pairs)).sum()  # noqa: E731
    else:
        formula = torch.compile(plain) if name == COMPILED else plain
        energy = lambda: formula(z, row, col, weight)  # noqa: E731

    def run() -> Tensor:
        total = energy()
        total.backward()
        z.grad = None
        return total.detach()

    return run


def held(graph: Graph) -> float:
    """MiB of inputs by row, and of the gradient."""
    tensors = graph.z, graph.z, graph.rowptr, graph.col, graph.weight
    return sum(of.nbytes for of in tensors) / 2**20


def _touched(graph: Graph) -> int:
    """Bytes that two passes over the entries read, and the gradient that one writes."""
    rows = graph.z.element_size() * DIM * (2 * graph.col.numel() + 3 * graph.z.size(0))
    return rows + 2 * (graph.col.nbytes + graph.weight.nbytes)


def _alike(graph: Graph) -> None:
    """Of the first nodes, against the reference in float64."""
    some = min(_CHECKED, graph.z.size(0))
    last = int(graph.rowptr[some])
    rowptr, col = graph.rowptr.clamp(max=last), graph.col[:last]
    weight, z = graph.weight[:last], graph.z.detach()
    truth = reference.edge_energy(z.cpu().double(), rowptr.cpu(), col.cpu(), weight.cpu().double())
    got = edge_energy(z, rowptr, col, weight).cpu().double()
    torch.testing.assert_close(got, truth, rtol=1e-5, atol=0)


def _row(
    ours: str,
    theirs: str,
    times: dict[str, list[float]],
    peaks: dict[str, float | Missing],
    size: str,
) -> Row:
    why = peaks.get(theirs)
    return Row(
        case="ops",
        variant=ours,
        metric="weighted distances, forward and backward",
        values=times.get(ours, [math.nan]),
        unit="ms",
        baseline=f"{theirs}: MISSING, {why.why}" if isinstance(why, Missing) else theirs,
        baseline_values=times.get(theirs, [math.nan]),
        higher_is_better=False,
        size=size,
    )


def _memory(name: str, graph: Graph, peaks: dict[str, float | Missing], size: str) -> Row:
    """Inputs, and all that comes while a way runs, against inputs and gradient."""
    found = peaks[name]
    missing = isinstance(found, Missing)
    inputs = held(graph) - graph.z.nbytes / 2**20
    if name in (PAIRS, EAGER, COMPILED):  # the rows of entries in place of rowptr
        inputs += (graph.row.nbytes - graph.rowptr.nbytes) / 2**20
    peak = math.nan if missing else inputs + found
    return Row(
        case="ops",
        variant=f"{name}: MISSING, {found.why}" if missing else name,
        metric="peak memory with inputs",
        values=[peak],
        unit="MiB",
        baseline="inputs and gradient, computed",
        baseline_values=[inputs + graph.z.nbytes / 2**20],
        higher_is_better=False,
        size=size,
    )


def _peak(name: str, device: torch.device, nodes: int, entries: int) -> float | Missing:
    """MiB that come on top of the inputs while a way runs."""
    settings = {"name": name, "device": device.type, "nodes": nodes, "entries": entries}
    # Ends of all edges, differences, squares and two gradients, where they are in memory.
    edges = 6 * entries * DIM * 4 / 2**30 if name in (EAGER, COMPILED) else 0
    need = 3 + edges if device.type == "cpu" else 2.0
    found = answer("benchmarks.ops_edges", settings, need)
    if isinstance(found, Missing):
        print(f"missing: {name} ({found.why})")
        return found
    return float(found["peak_mib"])


def _measure(name: str, device: str, nodes: int, entries: int) -> float:
    place = torch.device(device)
    # What the first call of anything loads is no part of it.
    way(name, make(nodes // 100, entries // 100, place))()
    run = way(name, make(nodes, entries, place))
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
        run()
        return torch.cuda.max_memory_allocated() / 2**20 - before
    before = forget_peak()
    run()
    return own_peak_mib() - before


def main(settings: str) -> None:
    """Print what a way takes, or why it cannot."""
    first_to_go()
    try:
        found: dict[str, object] = {"peak_mib": _measure(**json.loads(settings))}
    except (RuntimeError, MemoryError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        found = {"missing": first[:120]}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
