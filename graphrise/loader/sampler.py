"""One-hop neighbour sampling over CSR as a PyG `BaseSampler`."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)

from graphrise.graph.store import Graph
from graphrise.ops.counter_random import counter_uniform

_STREAM = 1  # keeps neighbour draws apart from other uses of the same seed


class PairSampler(BaseSampler):
    """Draws k neighbours, with replacement, for every seed image.

    The estimators. Let `w_uv` be the edge weights of seed u, `W_u` their sum, `n_u` its degree, and
    `v_uv = w_uv / W_u` (`normalize`) or `w_uv` (not). The edge term of u is the full sum
    `Omega_u = sum_v v_uv d(u, v)`. A draw enters with a coefficient that makes it unbiased:

    - `weighted`: v drawn with probability `w_uv / W_u`; coefficient `1 / k`, times `W_u` without
      `normalize`. A neighbour drawn by its weight counts 1, never its weight again.
    - `uniform`: v drawn with probability `1 / n_u`; coefficient `v_uv n_u / k`.

    A draw depends on (seed, epoch, node, number of the draw) alone, hence not on how nodes are
    batched or on worker processes. Seeds without edges draw nothing.

    Attributes:
        epoch: Enters every draw; set it before iterating (`order.EvenBatches.set_epoch` does).
    """

    def __init__(
        self,
        graph: Graph,
        k: int,
        draw: Literal["weighted", "uniform"] = "weighted",
        *,
        normalize: bool = True,
        seed: int = 0,
    ) -> None:
        """Prepare the per-row sums that weighted draws need.

        Args:
            graph: CSR graph.
            k: Draws per seed; 0 samples the seeds alone.
            draw: The estimator, see above.
            normalize: Whether Omega_u is the weighted mean or the weighted sum over neighbours.
            seed: Every draw follows from it.
        """
        self._rowptr, self._col = np.asarray(graph.rowptr), graph.col
        self._weight = graph.weight
        self._cumulated = _cumulated(graph)
        self.k, self.draw, self.normalize, self.seed = k, draw, normalize, seed
        self.epoch = 0

    def draw_edges(self, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Drawn edges of some seeds.

        Args:
            seeds: int64 `[B]` node ids.

        Returns:
            `row` int64 `[E]`, position in `seeds`, and `edge` int64 `[E]`, position in CSR order;
            E = k times the number of seeds that have edges.
        """
        start = self._rowptr[seeds]
        degree = self._rowptr[seeds + 1] - start
        row = np.repeat(np.flatnonzero(degree > 0), self.k)
        number = np.tile(np.arange(self.k), row.size // max(self.k, 1))
        u = counter_uniform(self.seed, _STREAM, self.epoch, seeds[row], number)
        if self.draw == "uniform":
            offset = np.minimum((u * degree[row]).astype(np.int64), degree[row] - 1)
            return row, start[row] + offset
        return row, self._search(start[row], degree[row], u)

    def _search(self, start: np.ndarray, degree: np.ndarray, u: np.ndarray) -> np.ndarray:
        """First edge of each row whose share of the row's weight, summed up, exceeds u."""
        low, high = start.copy(), start + degree - 1
        while (low < high).any():
            middle = (low + high) // 2
            right = self._cumulated[middle] <= u
            low = np.where(right & (low < high), middle + 1, low)
            high = np.where(right, high, middle)
        return low

    def coefficient(self, edge: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Coefficient of each drawn edge in the estimate of Omega_u.

        Args:
            edge: int64 `[E]`, drawn edges.
            seeds: int64 `[E]`, the node each was drawn for.

        Returns:
            float32 `[E]`.
        """
        begin, end = self._rowptr[seeds], self._rowptr[seeds + 1]
        total = self._totals(seeds)
        if self.draw == "weighted":
            value = np.ones(edge.size) if self.normalize else total
        else:
            value = np.asarray(self._weight[edge], dtype=np.float64) * (end - begin)
            value = value / total if self.normalize else value
        return (value / max(self.k, 1)).astype(np.float32)

    def _totals(self, nodes: np.ndarray) -> np.ndarray:
        unique, inverse = np.unique(nodes, return_inverse=True)
        sums = [
            np.sum(self._weight[self._rowptr[n] : self._rowptr[n + 1]], dtype=np.float64)
            for n in unique
        ]
        return np.asarray(sums, dtype=np.float64)[inverse]

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: object) -> SamplerOutput:
        """PyG's entry: seeds first, then each drawn neighbour once; `row` seeds, `col` drawn."""
        seeds = index.node.numpy()
        row, edge = self.draw_edges(seeds)
        neighbor = np.asarray(self._col[edge])
        # Unique images only: an image that is drawn twice, or is a seed too, is encoded once.
        extra = np.setdiff1d(neighbor, seeds)
        node = np.concatenate((seeds, extra))
        order = np.argsort(node, kind="stable")
        col = order[np.searchsorted(node[order], neighbor)]
        return SamplerOutput(
            node=torch.from_numpy(node),
            row=torch.from_numpy(row),
            col=torch.from_numpy(col),
            edge=torch.from_numpy(edge),
            num_sampled_nodes=[seeds.size, extra.size],
            num_sampled_edges=[edge.size],
            metadata=(index.input_id, None),
        )

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> SamplerOutput:
        """Not offered: training here starts from labelled images, not from edges."""
        raise TypeError("PairSampler samples from nodes; use it with NodeLoader")


def _cumulated(graph: Graph) -> np.ndarray:
    """Running share of each row's weight, float64 `[E]`, the last of a row above 1."""
    rowptr = np.asarray(graph.rowptr)
    degree = np.diff(rowptr)
    first = rowptr[:-1][degree > 0]
    weight = np.asarray(graph.weight, dtype=np.float64)
    if first.size == 0:
        return weight
    # Shares before the running sum: every row adds 1, so none is lost beside heavier ones.
    share = weight / np.repeat(np.add.reduceat(weight, first), degree[degree > 0])
    running = np.cumsum(share)
    running -= np.repeat(running[first] - share[first], degree[degree > 0])
    # Rounding must not leave a draw of 0.999... without an edge.
    running[rowptr[1:][degree > 0] - 1] = 2.0
    return running
