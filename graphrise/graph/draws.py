"""What weighted draws need of a graph: each row's total weight and its running shares."""

from __future__ import annotations

import numpy as np

BLOCK_EDGES = 4_000_000
"""Edges worked on at a time: bounds memory to a few hundred MB whatever the graph."""
FULL = 2**32 - 1
_CACHED = 1 << 18
"""Edges whose shares are summed at a time: what is made of them stays in the processor's cache."""


def row_blocks(rowptr: np.ndarray, edges: int = BLOCK_EDGES) -> list[tuple[int, int]]:
    """Node ranges `[first, last)` that hold about `edges` edges each, at least one node.

    Args:
        rowptr: int64 `[N + 1]`.
        edges: Edges per range; a single node may have more.
    """
    cuts = np.searchsorted(rowptr, np.arange(0, int(rowptr[-1]), edges), side="left")
    # Isolated nodes have no edges but still cost memory: cut by nodes too.
    cuts = np.unique(np.concatenate((cuts, np.arange(0, rowptr.size - 1, edges), [0])))
    ends = np.append(cuts[1:], rowptr.size - 1)
    return [(int(a), int(b)) for a, b in zip(cuts, ends, strict=True) if a < b]


def fill_draws(
    rowptr: np.ndarray, weight: np.ndarray, strength: np.ndarray, cumulative: np.ndarray
) -> None:
    """Fill `strength` and `cumulative` from the weights, block by block.

    Args:
        rowptr: int64 `[N + 1]`.
        weight: float32 `[E]`, above 0.
        strength: float64 `[N]`, filled with each row's total weight (0 without edges).
        cumulative: uint32 `[E]`, filled with each row's running share of its total, in units of
            2^-32; the last of a row is 2^32 - 1. A draw u in [0, 2^32 - 1) takes the first edge
            whose value exceeds it: an edge's probability is its share to within 2^-32.
    """
    for first, last in row_blocks(rowptr, _CACHED):
        begin, end = int(rowptr[first]), int(rowptr[last])
        degree = np.diff(rowptr[first : last + 1])
        starts = (rowptr[first:last] - begin)[degree > 0]
        if starts.size == 0:
            strength[first:last] = 0
            continue
        block = np.asarray(weight[begin:end], dtype=np.float64)
        total = np.zeros(last - first)
        total[degree > 0] = np.add.reduceat(block, starts)
        strength[first:last] = total
        full = degree[degree > 0]
        # Shares before the running sum: every row adds 1, so none is lost beside heavier ones.
        share = block / np.repeat(total[degree > 0], full)
        lead = share[starts]
        # That 1 is taken off again where the next row starts: a small sum has a small error.
        share[starts[1:]] -= 1
        running = np.cumsum(share)
        running -= np.repeat(running[starts] - lead, full)
        values = np.minimum(running * 2.0**32, FULL).astype(np.uint32)
        # Rounding must not leave a draw without an edge.
        values[starts + full - 1] = FULL
        cumulative[begin:end] = values


def first_above(
    cumulative: np.ndarray, start: np.ndarray, degree: np.ndarray, point: np.ndarray
) -> np.ndarray:
    """First edge of each row whose value in `cumulative` exceeds the draw.

    Args:
        cumulative: uint32 `[E]`, from `fill_draws`.
        start: int64 `[B]`, first edge of each row.
        degree: int64 `[B]`, edges of each row; what a row without edges gets means nothing.
        point: uint32 `[B, k]`, draws of each row.

    Returns:
        int64 `[B, k]`, positions in CSR order; the last edge of a row if none before it exceeds.
    """
    from graphrise.graph.draw_loop import search

    found = np.empty(point.shape, dtype=np.int64)
    search(cumulative[None], start, degree, point, found)
    return found
