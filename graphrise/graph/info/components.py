"""Connected components of a graph that may be larger than memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphrise.graph.draws import row_blocks
from graphrise.graph.info.counts import share
from graphrise.graph.store import Graph, id_dtype


def connected_components(rowptr: np.ndarray, col: np.ndarray) -> np.ndarray:
    """Component of each node, named by its lowest node.

    In every round each tree of labels hooks onto the lowest tree beside it, if that is lower, and
    is flattened. A tree without a lower one beside it has one beside it that hooks at or below it,
    so it hooks in the next round: every two rounds halve the trees, and a path of n nodes takes
    O(log n) rounds too. Memory is three arrays of N and a block of edges; SciPy's
    `connected_components` copies every weight to float64, 21 GB at 2.6 G edges.

    Args:
        rowptr: int64 `[N + 1]`, CSR row pointers.
        col: `[E]`, neighbours; both directions of an edge must be there.

    Returns:
        int32 `[N]` (int64 from 2^31 nodes on).
    """
    num_nodes = rowptr.size - 1
    label = np.arange(num_nodes, dtype=id_dtype(num_nodes))
    while True:
        hooked = label.copy()
        for first, last in row_blocks(rowptr):
            _hook(rowptr[first : last + 1], col, label, label[first:last], hooked)
        if np.array_equal(hooked, label):
            return label
        label = _flatten(hooked)


def _hook(
    rowptr: np.ndarray, col: np.ndarray, label: np.ndarray, own: np.ndarray, hooked: np.ndarray
) -> None:
    """Put the lowest label beside the nodes of a block into `hooked`, at their own label."""
    begin, end = int(rowptr[0]), int(rowptr[-1])
    full = np.diff(rowptr) > 0
    lowest = np.minimum.reduceat(label[col[begin:end]], (rowptr[:-1] - begin)[full])
    own = own[full]
    lower = lowest < own
    np.minimum.at(hooked, own[lower], lowest[lower])


def _flatten(parent: np.ndarray) -> np.ndarray:
    """The root of every node, by pointer jumping."""
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return parent
        parent = above


def component_info(graph: Graph) -> dict[str, Any]:
    """Number of components, isolated nodes among them, and nodes in the largest."""
    label = connected_components(graph.rowptr, graph.col)
    sizes = np.bincount(label)
    largest = int(sizes.max(initial=0))
    return {
        "number": int((sizes > 0).sum()),
        "isolated": int((sizes == 1).sum()),
        "largest": largest,
        "largest_share": share(largest, label.size),
    }
