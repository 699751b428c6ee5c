"""Connected groups of images, with every edge among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphrise.graph.kinds import kind_mask
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import Graph
from graphrise.loader.base import DrawnEdges, EdgeSampler, NeighborEmbeddings
from graphrise.loader.factors import EdgeFactors
from graphrise.loader.rows import AllowedRows, Rows, draw_from_rows
from graphrise.ops.counter_random import counter_bits

_STREAM = 6
_HOP = 1 << 32  # keeps the draws of the hops apart


class SubgraphSampler(EdgeSampler):
    """Grows a neighbourhood around every labelled image and uses all edges inside the batch.

    Each labelled image draws `fanouts[0]` neighbours by weight, each of those `fanouts[1]`, and so
    on; what they are together with the labelled images is the batch S. Labelled images that are
    neighbours of each other cost nothing more: `grouped.Grouped` brings them into one batch. An
    image that no used edge reaches is left out again.

    The estimate of `Omega_u` is a ratio: `sum_v w_uv d(u, v) / sum_v w_uv`, both sums over the
    neighbours of u in S, times the weight of u's whole row without `normalize`. It is Omega_u if
    all neighbours are in S; else it leans to neighbours that come into batches often, so it is not
    unbiased as `PairSampler`'s is. With `unlabelled_edges`, unlabelled images of the batch that are
    encoded with gradient have an estimate too, over their unlabelled neighbours in S.

    The batch is a function of (seed, epoch, labelled images in it).
    """

    def __init__(
        self,
        graph: Graph,
        fanouts: Sequence[int] = (2,),
        *,
        labels: Ragged | None = None,
        unlabelled_edges: bool = False,
        normalize: bool = True,
        kinds: tuple[str, ...] | None = None,
        neighbors: NeighborEmbeddings = "encoder",
        factors: EdgeFactors | None = None,
        seed: int = 0,
    ) -> None:
        """Sample from `graph`; nothing is read yet.

        Args:
            graph: CSR graph.
            fanouts: Draws per image and hop, with replacement; empty: only edges between labelled
                images of the batch.
            labels: Says which images are labelled; needed for edges among unlabelled ones.
            unlabelled_edges: Whether edges between unlabelled images count.
            normalize: Whether Omega_u is the weighted mean or the weighted sum over neighbours.
            kinds: Names of the kinds of edges to use; None: all.
            neighbors: See `EdgeSampler`.
            factors: Likewise.
            seed: Every draw follows from it.

        Raises:
            ConfigError: The graph knows no such kind of edge.
        """
        super().__init__(graph, neighbors=neighbors, factors=factors, seed=seed)
        self._allowed = AllowedRows(graph, kind_mask(graph, kinds), labels)
        self.fanouts, self.normalize = tuple(fanouts), normalize
        self._among_unlabelled = unlabelled_edges and neighbors == "encoder"

    def draw(self, seeds: np.ndarray, others: np.ndarray) -> DrawnEdges:
        """Edges of the labelled images, and of unlabelled ones if those count, inside the batch."""
        anchors = np.concatenate((seeds, others))
        batch = self._grown(anchors)
        if self._among_unlabelled:
            context = np.setdiff1d(batch, anchors)
            others = np.concatenate((others, context[self._allowed.unlabelled(context)]))
        row, edge, coefficient = self._inside(seeds, batch, unlabelled=False)
        if others.size:
            rest = self._inside(others, batch, unlabelled=True)
            # Drawn by way of a labelled image that is no seed, one may have no used edge at all.
            used = np.isin(np.arange(others.size), rest[0]) | np.isin(others, self._col.at(edge))
            used[: anchors.size - seeds.size] = True
            others, place = others[used], used.cumsum() - 1
            row = np.concatenate((row, place[rest[0]] + seeds.size))
            edge = np.concatenate((edge, rest[1]))
            coefficient = np.concatenate((coefficient, rest[2]))
        return DrawnEdges(others, row, edge, coefficient)

    def _grown(self, anchors: np.ndarray) -> np.ndarray:
        """Sorted nodes of the batch: the anchors and what the fan-outs draw."""
        batch = frontier = np.sort(anchors)
        for hop, fanout in enumerate(self.fanouts):
            state = counter_bits(
                self.seed, _STREAM, self.epoch, hop * _HOP + np.arange(fanout, dtype=np.int64)
            )
            rows = self._allowed.of(frontier)
            _, place = draw_from_rows(rows, frontier, state, weighted=True)
            frontier = np.setdiff1d(rows.col[place], batch)
            batch = np.union1d(batch, frontier)
        return batch

    def _inside(
        self, nodes: np.ndarray, batch: np.ndarray, *, unlabelled: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, edge and coefficient of edges that lead from some nodes into the batch."""
        rows = self._allowed.of(nodes)
        if unlabelled:
            rows = rows.where(self._allowed.unlabelled(rows.col))
        whole = np.ones(nodes.size) if self.normalize else rows.totals(nodes.size)
        inside: Rows = rows.where(np.isin(rows.col, batch, kind="sort"))
        total = inside.totals(nodes.size)[inside.row]
        value = inside.weight / total * whole[inside.row]
        return inside.row, inside.edge, value.astype(np.float32)
