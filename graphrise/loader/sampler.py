"""One-hop neighbour sampling over CSR as a PyG `BaseSampler`."""

from __future__ import annotations

from typing import Literal

import numpy as np

from graphrise.graph.draws import first_above
from graphrise.graph.kinds import kind_mask
from graphrise.graph.pages import Scattered
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import Graph
from graphrise.loader.base import DrawnEdges, EdgeSampler, NeighborEmbeddings
from graphrise.loader.factors import EdgeFactors
from graphrise.loader.rows import AllowedRows, Rows, draw_from_rows
from graphrise.ops.counter_random import counter_bits

_STREAM = 1  # keeps neighbour draws apart from other uses of the same seed
_PLACE_BITS = 20
_PIECE = 1 << _PLACE_BITS  # seeds sorted together
_FEW = 1 << 10  # seeds up to which their order matters little
_BLOCK = 1 << 13  # draws made together: what they read stays in the processor's cache


class PairSampler(EdgeSampler):
    """Draws k neighbours, with replacement, for every seed image.

    The estimators. Let `w_uv` be the edge weights of seed u, `W_u` their sum, `n_u` its degree, and
    `v_uv = w_uv / W_u` (`normalize`) or `w_uv` (not). The edge term of u is the full sum
    `Omega_u = sum_v v_uv d(u, v)`. A draw enters with a coefficient that makes it unbiased:

    - `weighted`: v drawn with probability `w_uv / W_u`; coefficient `1 / k`, times `W_u` without
      `normalize`. A neighbour drawn by its weight counts 1, never its weight again.
    - `uniform`: v drawn with probability `1 / n_u`; coefficient `v_uv n_u / k`.

    With `kinds`, all of this is over the edges of these kinds (an edge of several kinds with its
    whole weight); for unlabelled images (`others`), over their edges to unlabelled ones: those to
    labelled images count from the other end.

    A draw depends on (seed, epoch, node, number of the draw) alone, hence not on how nodes are
    batched or on worker processes. Seeds without edges draw nothing.
    """

    def __init__(
        self,
        graph: Graph,
        k: int,
        draw: Literal["weighted", "uniform"] = "weighted",
        *,
        normalize: bool = True,
        kinds: tuple[str, ...] | None = None,
        labels: Ragged | None = None,
        neighbors: NeighborEmbeddings = "encoder",
        factors: EdgeFactors | None = None,
        seed: int = 0,
    ) -> None:
        """Sample from `graph`; nothing is read yet.

        Args:
            graph: CSR graph.
            k: Draws per seed; 0 samples the seeds alone.
            draw: The estimator, see above.
            normalize: Whether Omega_u is the weighted mean or the weighted sum over neighbours.
            kinds: Names of the kinds of edges to draw from; None: all.
            labels: Says which images are labelled; needed to draw for unlabelled ones.
            neighbors: See `EdgeSampler`.
            factors: Likewise.
            seed: Every draw follows from it.

        Raises:
            ConfigError: The graph knows no such kind of edge.
        """
        super().__init__(graph, neighbors=neighbors, factors=factors, seed=seed)
        mask = kind_mask(graph, kinds)
        self._allowed = AllowedRows(graph, mask, labels)
        self._filtered = mask is not None
        self._rowptr = Scattered(graph.rowptr)
        self._weight, self._strength = Scattered(graph.weight), Scattered(graph.strength)
        self._cumulative = Scattered(graph.cumulative)
        self.k, self.estimator, self.normalize = k, draw, normalize

    def draw(self, seeds: np.ndarray, others: np.ndarray) -> DrawnEdges:
        """Edges, k of every image that has some; of `others`, to unlabelled images only."""
        if self._filtered:
            row, edge, coefficient = self._draw_allowed(seeds, self._allowed.of(seeds))
        else:
            row, edge = self.draw_edges(seeds)
            coefficient = self.coefficient(edge, seeds[row])
        if others.size and self.k:
            found = self._allowed.of(others)
            rest = self._draw_allowed(others, found.where(self._allowed.unlabelled(found.col)))
            row = np.concatenate((row, rest[0] + seeds.size))
            edge = np.concatenate((edge, rest[1]))
            coefficient = np.concatenate((coefficient, rest[2]))
        return DrawnEdges(others, row, edge, coefficient)

    def _draw_allowed(
        self, nodes: np.ndarray, rows: Rows
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, edge and coefficient of draws from what a filter left of the rows."""
        state = counter_bits(self.seed, _STREAM, self.epoch, np.arange(self.k))
        row, place = draw_from_rows(rows, nodes, state, weighted=self.estimator == "weighted")
        total = rows.totals(nodes.size)[row]
        if self.estimator == "weighted":
            value = np.ones(row.size) if self.normalize else total
        else:
            value = rows.weight[place] * np.bincount(rows.row, minlength=nodes.size)[row]
            value = value / total if self.normalize else value
        return row, rows.edge[place], (value / max(self.k, 1)).astype(np.float32)

    def draw_edges(self, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Drawn edges of some seeds.

        Args:
            seeds: int64 `[B]` node ids.

        Returns:
            `row` int64 `[E]`, position in `seeds`, and `edge` int64 `[E]`, position in CSR order;
            E = k times the number of seeds that have edges.
        """
        seeds = seeds.astype(np.int64, copy=False)
        if self.k == 0:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        state = counter_bits(self.seed, _STREAM, self.epoch, np.arange(self.k))
        if self._cumulative.by_file(seeds.size * self.k):
            return self._draw_few(seeds, state)
        if seeds.size <= _FEW:
            edge = self._draw_block(seeds, state).ravel()
        else:
            table = np.empty((seeds.size, self.k), dtype=np.int64)
            for first in range(0, seeds.size, _PIECE):
                self._draw_many(seeds[first : first + _PIECE], state, table[first : first + _PIECE])
            edge = table.ravel()
        drawn = np.flatnonzero(edge >= 0)
        row = drawn if self.k == 1 else drawn // self.k
        return row, edge if drawn.size == edge.size else edge[drawn]

    def _draw_few(self, seeds: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `draw_edges`, of seeds whose rows are read one by one."""
        start, degree = self._rows_of(seeds)
        row = np.flatnonzero(degree)
        start, degree = start[row], degree[row]
        shares, first = self._cumulative.array, start
        if self.estimator == "weighted":
            shares, first = self._cumulative.rows(start, degree), np.cumsum(degree) - degree
        bits = counter_bits(seeds[row][:, None], after=state)
        edge = self._choose(bits, first, degree, shares) + (start - first)[:, None]
        return row.repeat(self.k), edge.ravel()

    def _draw_many(self, seeds: np.ndarray, state: np.ndarray, edge: np.ndarray) -> None:
        """Fill the draws `[B, k]` of at most _PIECE seeds; those of seeds without edges with -1."""
        # In the order of the graph, so that memory is read nearly in a row: twice as fast for a
        # million seeds. Each seed's place rides in the low bits, which spares a sort of indices.
        keys = seeds << _PLACE_BITS
        keys |= np.arange(seeds.size)
        keys.sort()
        step = max(1, _BLOCK // self.k)
        for begin in range(0, keys.size, step):
            part = keys[begin : begin + step]
            edge[part & (_PIECE - 1)] = self._draw_block(part >> _PLACE_BITS, state)

    def _draw_block(self, node: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Draws of a few seeds, int64 `[B, k]`; -1 without edges."""
        start = self._rowptr.array.take(node)
        degree = self._rowptr.array.take(node + 1) - start
        bits = counter_bits(node[:, None], after=state)
        drawn = self._choose(bits, start, degree, self._cumulative.array)
        drawn[degree == 0] = -1
        return drawn

    def _choose(
        self, bits: np.ndarray, start: np.ndarray, degree: np.ndarray, cumulative: np.ndarray
    ) -> np.ndarray:
        """Drawn places in `cumulative`, int64 `[B, k]`.

        Args:
            bits: uint64 `[B, k]`, random.
            start: int64 `[B]`, where each row begins in `cumulative`.
            degree: int64 `[B]`.
            cumulative: uint32, the rows' running shares.
        """
        point = (bits >> np.uint64(32)).astype(np.uint32)
        if self.estimator == "weighted":
            return first_above(cumulative, start, degree, point)
        return start[:, None] + (point * degree[:, None] >> 32)

    def _rows_of(self, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First edge and degree of some nodes."""
        start, stop = self._rowptr.pairs(nodes)
        return start, stop - start

    def coefficient(self, edge: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Coefficient of each drawn edge in the estimate of Omega_u.

        Args:
            edge: int64 `[E]`, drawn edges.
            seeds: int64 `[E]`, the node each was drawn for.

        Returns:
            float32 `[E]`.
        """
        if self.estimator == "weighted":
            value = np.ones(edge.size) if self.normalize else self._strength.at(seeds)
        else:
            value = self.weight(edge).astype(np.float64) * self._rows_of(seeds)[1]
            value = value / self._strength.at(seeds) if self.normalize else value
        return (value / max(self.k, 1)).astype(np.float32)

    def weight(self, edge: np.ndarray) -> np.ndarray:
        """Weights of some edges, float32 `[E]`.

        Args:
            edge: int64 `[E]`, positions in CSR order.
        """
        return self._weight.at(edge)
