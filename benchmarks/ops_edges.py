"""Part of case `ops`: weighted distances along all edges of a graph, their time and their memory.

Forward and backward pass, with the gradient of the embeddings. The peak of a way is measured in a
process of its own.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from benchmarks.child import Missing, answer, first_to_go, forget_peak, own_peak_mib, reason
from benchmarks.ops_trial import COPY, Figures, attempt, freed, looked_at, near, row, timed
from benchmarks.rows import Row
from benchmarks.timing import copying
from graphrise.ops import reference
from graphrise.ops.edge_distance import edge_distance
from graphrise.ops.edge_energy import edge_energy

DIM = 64
SIZES = {"cpu": (1_000_000, 10_000_000), "cuda": (4_000_000, 40_000_000)}
"""Nodes and entries."""
OURS, SYMMETRIC, PAIRS = "edge_energy", "edge_energy, symmetric", "edge_distance of all pairs"
OWN = OURS, SYMMETRIC, PAIRS
EAGER, COMPILED = "plain torch", "plain torch, torch.compile"
WAYS = (*OWN, EAGER, COMPILED)
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
    """Measure peaks in one process each, then times in turn, with a look at results.

    Args:
        device: CPU or GPU.
        repetitions: Timed calls of every way.
    """
    nodes, entries = SIZES[device.type]
    freed()
    peaks = {name: _peak(name, device, nodes, entries) for name in WAYS}
    graph = make(nodes, entries, device)
    ways: dict[str, Callable[[], object]] = {
        name: way(name, graph) for name, peak in peaks.items() if not isinstance(peak, Missing)
    }
    for name in OWN:
        if name in ways:
            ways[name] = looked_at(ways[name], partial(_alike, name, graph))
    ways[COPY] = copying(_touched(graph), device)
    missing = {name: peak for name, peak in peaks.items() if isinstance(peak, Missing)}
    times: dict[str, Figures] = {**missing, **timed(ways, device, repetitions)}
    size = f"{nodes:,} nodes, {entries:,} edges, D {DIM}, {graph.z.dtype}"
    metric, found = "weighted distances, forward and backward", []
    for ours in OWN:
        for theirs in (EAGER, COMPILED, COPY):
            found.append(row(ours, theirs, times, own=OWN, metric=metric, size=size))
        found.append(_memory(ours, graph, peaks[ours], size))
    return found + [_memory(theirs, graph, peaks[theirs], size) for theirs in (EAGER, COMPILED)]


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


def energy(name: str, graph: Graph) -> Callable[[], Tensor]:
    """The forward pass of a way."""
    z, rowptr, col, weight, row = graph.z, graph.rowptr, graph.col, graph.weight, graph.row

    def plain(z: Tensor, row: Tensor, col: Tensor, weight: Tensor) -> Tensor:
        return (weight * (z[row] - z[col]).square().sum(dim=1)).sum()

    if name in (OURS, SYMMETRIC):
        return lambda: edge_energy(z, rowptr, col, weight, symmetric=name == SYMMETRIC)
    if name == PAIRS:
        pairs = torch.stack((row, col))
        return lambda: (weight * edge_distance(z, pairs)).sum()
    formula = torch.compile(plain) if name == COMPILED else plain
    return lambda: formula(z, row, col, weight)


def way(name: str, graph: Graph) -> Callable[[], Tensor]:
    """A forward and a backward pass that leave nothing behind."""
    summed = energy(name, graph)

    def run() -> Tensor:
        total = summed()
        total.backward()
        graph.z.grad = None
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


def _alike(name: str, graph: Graph) -> None:
    """Sum and gradient of a way of ours, against the reference in float64."""
    total = energy(name, graph)()
    (to_z,) = torch.autograd.grad(total, graph.z)
    tolerance = 2e-2 if graph.z.dtype.itemsize < 4 else 1e-5
    if name == OURS:
        _first_alike(graph)
    else:
        want = edge_energy(graph.z.detach(), graph.rowptr, graph.col, graph.weight)
        torch.testing.assert_close(total.detach().double(), want.double(), rtol=tolerance, atol=0)
    some = min(_CHECKED, graph.z.size(0))
    for first in (0, graph.z.size(0) - some):
        near(to_z[first : first + some].cpu(), _gradient(graph, first, first + some), tolerance)


def _gradient(graph: Graph, first: int, last: int) -> Tensor:
    """Of some nodes, by the reference: twice what their own entries give, of both directions."""
    ends = graph.rowptr[first : last + 1].cpu()
    part = slice(int(ends[0]), int(ends[-1]))
    z, col = graph.z.detach(), graph.col[part]
    rows, far = z[first:last].cpu().double().requires_grad_(), z[col].cpu().double()
    places = last - first + torch.arange(len(col))
    share = graph.weight[part].cpu().double()
    total = reference.edge_energy(torch.cat((rows, far)), ends - ends[0], places, share)
    return 2 * torch.autograd.grad(total, rows)[0]


def _first_alike(graph: Graph) -> None:
    """The sum over the entries of the first nodes."""
    some = min(_CHECKED, graph.z.size(0))
    last = int(graph.rowptr[some])
    rowptr, col = graph.rowptr.clamp(max=last), graph.col[:last]
    weight, z = graph.weight[:last], graph.z.detach()
    truth = reference.edge_energy(z.cpu().double(), rowptr.cpu(), col.cpu(), weight.cpu().double())
    got = edge_energy(z, rowptr, col, weight).cpu().double()
    torch.testing.assert_close(got, truth, rtol=1e-5, atol=0)


def _memory(name: str, graph: Graph, peak: float | Missing, size: str) -> Row:
    """Inputs, and all that comes while a way runs, against inputs and gradient."""
    inputs = held(graph) - graph.z.nbytes / 2**20
    if name in (PAIRS, EAGER, COMPILED):  # the rows of entries in place of rowptr
        inputs += (graph.row.nbytes - graph.rowptr.nbytes) / 2**20
    floor = "inputs and gradient, computed"
    found: dict[str, Figures] = {
        name: peak if isinstance(peak, Missing) else [inputs + peak],
        floor: [inputs + graph.z.nbytes / 2**20],
    }
    metric = "peak memory with inputs"
    return row(name, floor, found, own=OWN, metric=metric, size=size, unit="MiB")


def _peak(name: str, device: torch.device, nodes: int, entries: int) -> float | Missing:
    """MiB that come on top of the inputs while a way runs."""
    settings = {"name": name, "device": device.type, "nodes": nodes, "entries": entries}
    # Ends of all edges, differences, squares and two gradients, where they are in memory.
    edges = 6 * entries * DIM * 4 / 2**30 if name in (EAGER, COMPILED) else 0
    need = 3 + edges if device.type == "cpu" else 2.0

    def act() -> float | Missing:
        found = answer("benchmarks.ops_edges", settings, need)
        return found if isinstance(found, Missing) else float(found["peak_mib"])

    return attempt(name, act)


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
    except Exception as error:
        traceback.print_exc()
        found = {"missing": reason(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
