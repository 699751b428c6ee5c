"""Edges by kind, degrees, and how strengths and weights are spread."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from graphrise.graph.draws import BLOCK_EDGES, row_blocks
from graphrise.graph.store import Graph

PERCENTILES = {"median": 50, "p90": 90, "p99": 99}


def edge_counts(graph: Graph) -> tuple[dict[str, int], dict[str, int]]:
    """Undirected edges by kind, an edge of two kinds in both, and by combination of kinds.

    Returns:
        Kind to edges, every kind of the graph in the order of bits; and combination ("coclick +
        knn") to the edges of exactly these kinds, only combinations that occur.
    """
    values = np.zeros(256, dtype=np.int64)
    for first, last in row_blocks(graph.rowptr):
        begin, end = int(graph.rowptr[first]), int(graph.rowptr[last])
        row = np.repeat(np.arange(first, last), np.diff(graph.rowptr[first : last + 1]))
        values += np.bincount(graph.kind[begin:end][graph.col[begin:end] > row], minlength=256)
    names = dict(sorted(graph.kinds.items(), key=lambda kind: kind[1]))
    used = [(int(value), int(values[value])) for value in np.flatnonzero(values)]
    kinds = {name: sum(n for value, n in used if value & bit) for name, bit in names.items()}
    combined = {
        " + ".join(name for name, bit in names.items() if value & bit): count
        for value, count in used
        if value & (value - 1)
    }
    return kinds, combined


def degree_info(rowptr: np.ndarray) -> dict[str, Any] | None:
    """Neighbours per node; None without a node.

    A percentile is the lowest degree that this share of the nodes does not exceed.

    Args:
        rowptr: int64 `[N + 1]`.

    Returns:
        `min`, `median`, `mean`, `p90`, `p99`, `max`, `isolated`, `isolated_share`, and
        `histogram`: nodes with `from` to `to` neighbours, 0 apart and then by powers of two.
    """
    num_nodes = rowptr.size - 1
    if num_nodes == 0:
        return None
    nodes = np.bincount(np.diff(rowptr))
    degrees = np.flatnonzero(nodes)
    below = np.cumsum(nodes[degrees])
    found = {}
    for name, percent in PERCENTILES.items():
        place = np.searchsorted(below, _rank(percent, num_nodes), side="right")
        found[name] = int(degrees[place])
    edges = [0, *(2**k for k in range(int(degrees[-1]).bit_length() + 1))]
    return {
        "min": int(degrees[0]),
        **found,
        "mean": int(rowptr[-1]) / num_nodes,
        "max": int(degrees[-1]),
        "isolated": int(nodes[0]),
        "isolated_share": int(nodes[0]) / num_nodes,
        "histogram": [
            {"from": low, "to": high - 1, "nodes": int(nodes[low:high].sum())}
            for low, high in pairwise(edges)
        ],
    }


def value_info(values: np.ndarray) -> dict[str, float] | None:
    """How values at or above 0 are spread, to float32's precision; None without a value.

    Floats at or above 0 rise with their bits, so two counts, of the upper and then the lower 16,
    find exact percentiles without a copy of the values.

    Args:
        values: `[E]`, float, maybe memory-mapped.

    Returns:
        `min`, `median`, `mean`, `p90`, `p99`, `max`.
    """
    if values.size == 0:
        return None
    upper, total = np.zeros(2**16, dtype=np.int64), 0.0
    lowest, highest = np.inf, 0.0
    for block in _float_blocks(values):
        upper += np.bincount(block.view(np.uint32) >> 16, minlength=2**16)
        total += float(block.sum(dtype=np.float64))
        lowest, highest = min(lowest, float(block.min())), max(highest, float(block.max()))
    ranks = np.array([_rank(percent, values.size) for percent in PERCENTILES.values()])
    before = np.cumsum(upper)
    bins = np.searchsorted(before, ranks, side="right")
    lower = np.zeros((bins.size, 2**16), dtype=np.int64)
    for block in _float_blocks(values):
        bits = block.view(np.uint32)
        for counts, place in zip(lower, bins, strict=True):
            counts += np.bincount(bits[bits >> 16 == place] & 0xFFFF, minlength=2**16)
    found = {}
    for name, counts, place, rank in zip(PERCENTILES, lower, bins, ranks, strict=True):
        rank -= before[place] - upper[place]
        bits = (place << 16) + np.searchsorted(np.cumsum(counts), rank, side="right")
        found[name] = float(np.uint32(bits).view(np.float32))
    return {"min": lowest, **found, "mean": total / values.size, "max": highest}


def _float_blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, values.size, BLOCK_EDGES):
        yield np.ascontiguousarray(values[start : start + BLOCK_EDGES], dtype=np.float32)


def _rank(percent: int, size: int) -> int:
    """Place in rising order, from 0, of the lowest value that `percent` of all do not exceed."""
    return -(-percent * size // 100) - 1


def share(part: float, whole: float) -> float | None:
    """`part / whole`; None of nothing."""
    return part / whole if whole else None
