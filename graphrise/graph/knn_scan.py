"""Each node's nearest while blocks of a gallery pass by, and all that are near enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from graphrise.graph import knn_space
from graphrise.graph.knn_space import Space

TILE_ROWS = 2048
GROUP = 16
"""Gallery rows of which only the best is looked at first: most groups hold nothing near."""
SEED_ROWS = 2048

Gallery = tuple[Tensor, Tensor]
"""float32 `[G, D]`, as `Space.as_gallery` gives it, and the node of each row, int64 `[G]`."""


def hits(space: Space, gallery: Tensor, queries: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs whose product reaches the query's floor.

    Args:
        space: The vectors.
        gallery: float32 `[G, D]`.
        queries: float32 `[Q, D]`.
        floor: float32 `[Q]`.

    Returns:
        Query and gallery row of each, int64 `[P]`.
    """
    count = len(gallery)
    if count % GROUP:
        gallery = torch.nn.functional.pad(gallery, (0, 0, 0, -count % GROUP))
    product = space.product(gallery, queries).view(-1, GROUP, len(queries))
    group, query = (product.amax(dim=1) >= floor).nonzero(as_tuple=True)
    near, row = (product[group, :, query] >= floor[query, None]).nonzero(as_tuple=True)
    query, row = query[near], group[near] * GROUP + row
    if count % GROUP:
        real = row < count
        query, row = query[real], row[real]
    return query, row


def tiles(gallery: Gallery, at: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Gallery rows, their nodes, and the queries to compare them with, a product at a time."""
    for start in range(0, len(gallery[0]), TILE_ROWS):
        rows, nodes = (part[start : start + TILE_ROWS] for part in gallery)
        padded = len(rows) + -len(rows) % GROUP
        for some in at.split(max(1, knn_space.TILE_SCORES // padded)):
            yield rows, nodes, some


class Nearest:
    """The running k nearest of Q nodes; of equal scores the lowest node comes first.

    Attributes:
        nodes: int64 `[Q]`, rising; never their own neighbours.
        scores: float32 `[Q, k]`, falling along a row, -inf where there is none.
        found: int64 `[Q, k]`, -1 where there is none.
        read: float32 `[Q, D]`, the vectors as `Space.read` gives them.
    """

    def __init__(
        self, space: Space, nodes: np.ndarray, k: int, at_least: float, so_far: Sequence = ()
    ) -> None:
        """Nothing found yet, or what other galleries gave.

        Args:
            space: The vectors.
            nodes: As above.
            k: At least 1.
            at_least: Neighbours of a lower score do not count.
            so_far: `scores` and `found`.
        """
        self.nodes, self._space, self._at_least = nodes, space, np.float32(at_least)
        self.scores = np.full((nodes.size, k), -np.inf, dtype=np.float32)
        self.found = np.full((nodes.size, k), -1, dtype=np.int64)
        if so_far:
            self.scores[:], self.found[:] = so_far
        self.read = space.read(nodes)
        self._queries = space.as_queries(self.read)
        self._floor = torch.full((nodes.size,), -torch.inf)
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._count = 0
        self._everyone = torch.arange(nodes.size)
        self._raise_floor()

    def seed(self, rows: Tensor, at: Tensor | None = None) -> None:
        """Raise the floor by what a few gallery rows promise, ahead of any scan.

        Args:
            rows: float32 `[G, D]`.
            at: int64, the queries it is for; None: all.
        """
        k = self.scores.shape[1]
        if len(rows) <= k:
            return
        for some in (self._everyone if at is None else at).split(
            max(1, knn_space.TILE_SCORES // len(rows))
        ):
            product = self._queries.index_select(0, some) @ rows.T
            # One more than k: a row may be the node itself.
            worst = product.topk(k + 1, dim=1).values[:, -1]
            read = self.read.index_select(0, some)
            floor = self._space.floor(read, self._space.promised(read, worst))
            self._floor[some] = torch.maximum(self._floor[some], floor)

    def scan(self, gallery: Gallery, at: Tensor | None = None) -> None:
        """Look for neighbours among gallery rows that were not scanned before.

        Args:
            gallery: Rows; of equal vectors the lowest node must pass first.
            at: int64, the queries it is for; None: all.
        """
        for rows, nodes, some in tiles(gallery, self._everyone if at is None else at):
            # index_select: four times as fast as self._queries[some].
            queries, floor = (x.index_select(0, some) for x in (self._queries, self._floor))
            query, row = hits(self._space, rows, queries, floor)
            self._waiting.append((some[query], nodes[row]))
            self._count += len(query)
            # Ranking handles all that is kept, too: not for every few.
            if self._count > max(2 * self.scores.size, SEED_ROWS):
                self.rank()

    def rank(self) -> None:
        """Bring `scores` and `found` up to date with what was scanned."""
        if not self._waiting:
            return
        query, node = (torch.cat(part).numpy() for part in zip(*self._waiting, strict=True))
        self._waiting, self._count = [], 0
        other = node != self.nodes[query]
        query, node = query[other], node[other]
        score = self._space.scores(self.nodes[query], node)
        near = score >= np.maximum(self.scores[query, -1], self._at_least)
        kept = self.found >= 0
        query = np.concatenate((np.nonzero(kept)[0], query[near]))
        node = np.concatenate((self.found[kept], node[near]))
        score = np.concatenate((self.scores[kept], score[near]))
        order = in_order(query, score, node)
        query, node, score = query[order], node[order], score[order]
        place = np.arange(query.size) - np.searchsorted(query, query)
        top = place < self.scores.shape[1]
        self.scores[query[top], place[top]] = score[top]
        self.found[query[top], place[top]] = node[top]
        self._raise_floor()

    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Source, target (int64 `[P]`) and score (float32 `[P]`), in the order of `nodes`."""
        kept = self.found >= 0
        return self.nodes[np.nonzero(kept)[0]], self.found[kept], self.scores[kept]

    def _raise_floor(self) -> None:
        worst = torch.from_numpy(np.maximum(self.scores[:, -1], self._at_least))
        floor = torch.maximum(self._floor, self._space.floor(self.read, worst))
        # With k equal vectors found, later ones change nothing: a gallery may hold thousands.
        full = torch.from_numpy(self.scores[:, -1]) >= self._space.best
        self._floor = floor.masked_fill(full, torch.inf)


def scan_all(some: Sequence[Nearest], galleries: Iterable[Gallery]) -> None:
    """Scan galleries, of rising nodes, for several sets of nodes."""
    for number, gallery in enumerate(galleries):
        for one in some:
            if number == 0:
                one.seed(gallery[0][:SEED_ROWS])
            one.scan(gallery)
    for one in some:
        one.rank()


def in_order(query: np.ndarray, score: np.ndarray, node: np.ndarray) -> np.ndarray:
    """Order by rising query, falling score, rising node.

    Args:
        query: int64 `[P]`, in `[0, 2^31)`.
        score: float32 `[P]`, not NaN.
        node: int64 `[P]`.

    Returns:
        int64 `[P]`.
    """
    # One whole number sorts ten times faster than three keys, and equal scores are few. Bits of
    # negative floats sort the wrong way round until all but the sign are flipped.
    bits = (np.float32(0) - score).view(np.int32)
    key = (query << 32) + (bits ^ ((bits >> 31) & 0x7FFFFFFF))
    order = np.argsort(key)
    ranked = key[order]
    same = ranked[1:] == ranked[:-1]
    if same.any():
        tied = np.append(same, False) | np.append(False, same)
        part = order[tied]
        order[tied] = part[np.lexsort((node[part], key[part]))]
    return order


class Galleries:
    """All nodes of a space in runs of at most `block`; a single run is made once and kept.

    Attributes:
        several: There is more than one run.
    """

    def __init__(self, space: Space, block: int) -> None:
        """Nothing is read yet."""
        self._space, self._block = space, block
        self.several = len(space) > block
        self._kept: Gallery | None = None

    def __iter__(self) -> Iterator[Gallery]:
        if self._kept is not None:
            yield self._kept
            return
        for start in range(0, len(self._space), self._block):
            stop = min(start + self._block, len(self._space))
            gallery = self._space.gallery(start, stop), torch.arange(start, stop)
            if not self.several:
                self._kept = gallery
            yield gallery
