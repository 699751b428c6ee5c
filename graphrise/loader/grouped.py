"""An order of the labelled images in which neighbours stand together."""

from __future__ import annotations

import numpy as np

from graphrise.graph.kinds import kind_mask
from graphrise.graph.store import Graph
from graphrise.loader.order import SEED_STREAM
from graphrise.loader.rows import AllowedRows, draw_from_rows
from graphrise.ops.counter_random import counter_bits, counter_uniform

_HEADS, _POINTERS, _GROUPS = 7, 8, 9
_BLOCK = 1 << 18  # rows read at a time


class Grouped:
    """An epoch is a random order of connected groups, drawn anew from (seed, epoch).

    About one labelled image in `size` is a head. Every other one draws one of its labelled
    neighbours by weight and joins the head that a chain of such draws leads to, or the first image
    of the circle that it ends in; where both are farther than a group is long, it stays alone. A
    group of more than `size` is cut, those nearest to the head first, so a cut part may be
    unconnected. Unlike `order.Shuffled` it makes a table: some 40 bytes per labelled image, and one
    reading of their rows an epoch.
    """

    def __init__(
        self,
        graph: Graph,
        nodes: np.ndarray,
        size: int,
        *,
        kinds: tuple[str, ...] | None = None,
        seed: int = 0,
    ) -> None:
        """Order the labelled images.

        Args:
            graph: CSR graph.
            nodes: int64 `[L]`, the labelled images' nodes, rising.
            size: Images per group at most, at least 1.
            kinds: Names of the kinds of edges that connect; None: all.
            seed: Every draw follows from it.

        Raises:
            ConfigError: The graph knows no such kind of edge.
        """
        self._allowed = AllowedRows(graph, kind_mask(graph, kinds))
        self._nodes, self._size, self._seed = nodes, size, seed
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return self._nodes.size

    def at(self, epoch: int, place: np.ndarray) -> np.ndarray:
        """Things at some places of an epoch's order, both int64 `[B]`."""
        if epoch != self._epoch:
            self._order, self._epoch = self._made(epoch), epoch
        return self._order[place]

    def groups(self, epoch: int) -> np.ndarray:
        """Number of the group of each labelled image, int64 `[L]`."""
        everyone = np.arange(len(self))
        u = counter_uniform(self._seed, SEED_STREAM, _HEADS, epoch, everyone)
        pointer = np.where(u < 1 / self._size, everyone, self._pointers(epoch))
        pointer = np.where(self._leads_a_circle(pointer), everyone, pointer)
        head, hops = everyone.copy(), np.zeros(len(self), dtype=np.int64)
        for _ in range(self._size - 1):
            moving = pointer[head] != head
            head, hops = pointer[head], hops + moving
        lost = pointer[head] != head  # a circle, or a chain longer than a group
        head, hops = np.where(lost, everyone, head), np.where(lost, 0, hops)
        by_group = np.lexsort((everyone, hops, head))
        sorted_head = head[by_group]
        first = np.flatnonzero(np.append(True, sorted_head[1:] != sorted_head[:-1]))
        rank = np.arange(len(self)) - np.repeat(first, np.diff(np.append(first, len(self))))
        group = np.empty_like(head)
        cuts = (rank % self._size == 0).cumsum() - 1
        group[by_group] = cuts
        return group

    def _leads_a_circle(self, pointer: np.ndarray) -> np.ndarray:
        """Whether an image is the first of a circle of pointers, at most a group long; bool `[L]`.

        Two neighbours often draw each other: without a head they would stay alone, and so would all
        that lead to them.
        """
        everyone = np.arange(len(self))
        seen, first, circle = pointer, everyone, pointer == everyone
        for _ in range(self._size - 1):
            first = np.where(circle, first, np.minimum(first, seen))
            seen = np.where(circle, seen, pointer[seen])
            circle |= seen == everyone
        return circle & (first == everyone)

    def _pointers(self, epoch: int) -> np.ndarray:
        """A labelled neighbour of each labelled image, drawn by weight; itself if it has none."""
        pointer = np.arange(len(self))
        state = counter_bits(self._seed, SEED_STREAM, _POINTERS, epoch, np.arange(1))
        for first in range(0, len(self), _BLOCK):
            nodes = self._nodes[first : first + _BLOCK]
            rows = self._allowed.of(nodes)
            at = np.minimum(np.searchsorted(self._nodes, rows.col), len(self) - 1)
            labelled = self._nodes[at] == rows.col
            row, place = draw_from_rows(rows.where(labelled), nodes, state, weighted=True)
            pointer[first + row] = at[labelled][place]
        return pointer

    def _made(self, epoch: int) -> np.ndarray:
        if len(self) == 0:
            return np.empty(0, dtype=np.int64)
        group = self.groups(epoch)
        u = counter_uniform(self._seed, SEED_STREAM, _GROUPS, epoch, group)
        return np.lexsort((group, u))
