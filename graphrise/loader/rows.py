"""Whole rows of some nodes: the edges a filter allows, and draws among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphrise.graph.pages import Scattered
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import Graph
from graphrise.ops.counter_random import counter_bits


@dataclass(frozen=True)
class Rows:
    """Edges of some nodes, row by row.

    Attributes:
        row: int64 `[E]`, position of the edge's node among those asked for, rising.
        edge: int64 `[E]`, position in CSR order.
        col: int64 `[E]`, the neighbour.
        weight: float64 `[E]`.
    """

    row: np.ndarray
    edge: np.ndarray
    col: np.ndarray
    weight: np.ndarray

    def where(self, keep: np.ndarray) -> Rows:
        """Only the edges that a bool `[E]` marks."""
        return Rows(self.row[keep], self.edge[keep], self.col[keep], self.weight[keep])

    def totals(self, count: int) -> np.ndarray:
        """Weight of each of `count` rows, float64."""
        return np.bincount(self.row, weights=self.weight, minlength=count)


class AllowedRows:
    """Reads rows and leaves out edges of other kinds, or to labelled images.

    For draws that the stored running shares do not serve: what a filter leaves of a row has other
    shares. A row is read whole; rows are short (the builder keeps some ten edges a node).
    """

    def __init__(self, graph: Graph, kinds: int | None = None, labels: Ragged | None = None):
        """Read from `graph`.

        Args:
            graph: CSR graph.
            kinds: Bits; edges that have none of them are left out. None keeps all.
            labels: Says which images are labelled; needed only to leave out edges to them.
        """
        self._rowptr, self._col = Scattered(graph.rowptr), Scattered(graph.col)
        self._weight, self._kind = Scattered(graph.weight), Scattered(graph.kind)
        self._kinds, self._labels = kinds, labels

    def of(self, nodes: np.ndarray) -> Rows:
        """Allowed edges of some nodes, int64 `[B]`."""
        start, stop = self._rowptr.pairs(nodes)
        degree = stop - start
        row = np.repeat(np.arange(nodes.size), degree)
        first = np.cumsum(degree) - degree
        edge = np.arange(row.size) + np.repeat(start - first, degree)

        def read(array: Scattered) -> np.ndarray:
            if array.by_file(row.size):
                return array.rows(start, degree)
            return array.array.take(edge)

        col, weight = read(self._col).astype(np.int64), read(self._weight).astype(np.float64)
        found = Rows(row, edge, col, weight)
        if self._kinds is None:
            return found
        return found.where((read(self._kind) & self._kinds) != 0)

    def unlabelled(self, nodes: np.ndarray) -> np.ndarray:
        """Whether some nodes have no label, bool `[B]`."""
        assert self._labels is not None
        return self._labels.rowptr[nodes] == self._labels.rowptr[nodes + 1]


def draw_from_rows(
    rows: Rows, nodes: np.ndarray, state: np.ndarray, *, weighted: bool
) -> tuple[np.ndarray, np.ndarray]:
    """K draws, with replacement, from every row that has an edge.

    Args:
        rows: Edges of `nodes`.
        nodes: int64 `[B]`.
        state: uint64 `[k]`, `counter_bits` of all that the draws depend on but the node.
        weighted: In proportion to weight, or evenly.

    Returns:
        `row` int64 `[F]` (position in `nodes`, rising) and `place` int64 `[F]` (position in
        `rows`); F = k times the rows that have edges.
    """
    count = np.bincount(rows.row, minlength=nodes.size)
    full = np.flatnonzero(count)
    first, count = (np.cumsum(count) - count)[full], count[full]
    bits = counter_bits(nodes[full][:, None], after=state) >> np.uint64(11)
    u = bits.astype(np.float64) * 2.0**-53
    row = full.repeat(state.size)
    if not weighted:
        place = first[:, None] + (u * count[:, None]).astype(np.int64)
        return row, place.ravel()
    running = np.cumsum(rows.weight)
    before = running[first] - rows.weight[first]
    total = running[first + count - 1] - before
    place = np.searchsorted(running, before[:, None] + u * total[:, None], side="right")
    # Rounding of the running sum must not lead a draw out of its row.
    return row, np.clip(place, first[:, None], (first + count - 1)[:, None]).ravel()
