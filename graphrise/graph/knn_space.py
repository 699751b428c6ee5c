"""How near two vectors are: exactly, in float64, and as a float32 product that finds candidates."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from graphrise.errors import DataError

TILE_SCORES = 1 << 21
"""Numbers of one product (8 MiB): more are not faster, fewer cost calls."""
_READ = 1 << 16
_GATHER = 1 << 16
_SAMPLE = 4096
_FARTHEST = 1e18
_ROUNDING = 2.0**-24


class Space:
    """Vectors of N nodes and the score of a pair: the cosine, or minus the Euclidean distance.

    Scores are computed in float64 and rounded to float32, so blocks, threads and direction do not
    change them. The product of a query and a gallery row only finds candidates: `floor` lies so
    far below the score looked for that rounding hides no pair.

    Attributes:
        vectors: `[N, D]`, float16, float32 or float64; may be memory-mapped.
        metric: `cosine` or `l2`.
        best: Score of two equal vectors: none is higher.
    """

    def __init__(self, vectors: np.ndarray, metric: Literal["cosine", "l2"]) -> None:
        """Take `vectors`, at least one."""
        self.vectors, self.metric = vectors, metric
        self.best = 1.0 if metric == "cosine" else 0.0
        self._room = torch.empty(0)
        self._slack = (vectors.shape[1] + 8) * _ROUNDING
        if metric == "l2":
            # Around their middle and at a spread of 1 float32 products are the most precise.
            sample = np.asarray(vectors[:: -(-len(vectors) // _SAMPLE)], dtype=np.float64)
            self._middle = torch.from_numpy(sample.mean(axis=0))
            spread = np.sqrt(np.square(sample - sample.mean(axis=0)).sum(axis=1).mean())
            self._scale = float(1 / spread) if spread > 0 else 1.0

    def __len__(self) -> int:
        return len(self.vectors)

    def read(self, nodes: np.ndarray) -> Tensor:
        """Vectors fit for products: of length 1 (cosine), or centred and scaled (l2).

        Args:
            nodes: int64 `[n]`, rising.

        Returns:
            float32 `[n, D]`.

        Raises:
            DataError: A vector of zeros, which has no cosine, or one too far from the others.
        """
        out = torch.empty(len(nodes), self.vectors.shape[1])
        for start in range(0, len(nodes), _READ):
            some = nodes[start : start + _READ]
            together = some[-1] - some[0] == len(some) - 1
            # A slice of a memory map is one read, a list of rows is one read each.
            block = self.vectors[some[0] : some[-1] + 1] if together else self.vectors[some]
            block = torch.from_numpy(np.array(block, dtype=np.float64))
            if self.metric == "l2":
                block = (block - self._middle) * self._scale
            norm = torch.linalg.vector_norm(block, dim=1)
            if self.metric == "cosine":
                _refuse(some, norm == 0, "is all zeros, which has no cosine: leave the image out")
                block /= norm[:, None]
            else:
                _refuse(some, norm > _FARTHEST, "is too far from the others for float32")
            out[start : start + len(some)] = block
        return out

    def as_queries(self, block: Tensor) -> Tensor:
        """What `read` gave, as one side of the product."""
        if self.metric == "cosine":
            return block
        return torch.cat((block, block.new_ones(len(block), 1)), dim=1)

    def as_gallery(self, block: Tensor) -> Tensor:
        """What `read` gave, as the other side: for l2 the product is q.g - |g|^2 / 2."""
        if self.metric == "cosine":
            return block
        half = block.double().square().sum(dim=1, keepdim=True).div(-2).float()
        return torch.cat((block, half), dim=1)

    def gallery(self, start: int, stop: int, place: Tensor | None = None) -> Tensor:
        """A run of nodes as a gallery.

        Args:
            start: First node.
            stop: One past the last node.
            place: int64 `[stop - start]`, row of each node; None: in their order.
        """
        width = self.vectors.shape[1] + (self.metric == "l2")
        out = torch.empty(stop - start, width)
        for first in range(start, stop, _READ):
            last = min(first + _READ, stop)
            at = slice(first - start, last - start)
            block = self.as_gallery(self.read(np.arange(first, last)))
            out[at if place is None else place[at]] = block
        return out

    def product(self, gallery: Tensor, queries: Tensor) -> Tensor:
        """Their products, in memory that the next call uses again.

        Args:
            gallery: float32 `[G, D]`, as `as_gallery` gives it.
            queries: float32 `[Q, D]`, as `as_queries` gives it; G * Q at most TILE_SCORES.

        Returns:
            float32 `[G, Q]`.
        """
        size = len(gallery) * len(queries)
        if self._room.numel() < size:
            self._room = torch.empty(max(size, TILE_SCORES))
        return torch.mm(gallery, queries.T, out=self._room[:size].view(len(gallery), -1))

    def scores(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Exact scores of pairs of nodes.

        Args:
            source: int64 `[P]`.
            target: int64 `[P]`.

        Returns:
            float32 `[P]`.
        """
        out = np.empty(source.size, dtype=np.float32)
        # Few at a time: what is gathered stays in the cache.
        step = max(1, _GATHER // self.vectors.shape[1])
        for start in range(0, source.size, step):
            at = slice(start, start + step)
            a = self.vectors[source[at]].astype(np.float64)
            b = self.vectors[target[at]].astype(np.float64)
            if self.metric == "cosine":
                out[at] = np.vecdot(a, b) / np.sqrt(np.vecdot(a, a) * np.vecdot(b, b))
            else:
                a -= b
                out[at] = -np.sqrt(np.vecdot(a, a))
        return out

    def floor(self, read: Tensor, score: Tensor) -> Tensor:
        """Product that a node of at least this score surely reaches.

        Args:
            read: float32 `[Q, D]`, the queries as `read` gave them.
            score: float32 `[Q]`; -inf for any.

        Returns:
            float32 `[Q]`.
        """
        if self.metric == "cosine":
            return score - self._slack
        norm = torch.linalg.vector_norm(read, dim=1, dtype=torch.float64)
        far = score.double() * -self._scale
        # A node so near has a norm of at most norm + far, and that bounds the product's rounding.
        slack = self._slack * (2 * norm + far).square()
        return ((norm.square() - far.square()) / 2 - slack).float()

    def promised(self, read: Tensor, product: Tensor) -> Tensor:
        """Score that a node of this product surely has; `floor` the other way round.

        Args:
            read: float32 `[Q, D]`, the queries as `read` gave them.
            product: float32 `[Q]`.

        Returns:
            float32 `[Q]`.
        """
        if self.metric == "cosine":
            return product - self._slack
        norm = torch.linalg.vector_norm(read, dim=1, dtype=torch.float64)
        squared = (norm.square() - 2 * product.double()).clamp_min(0)
        squared += 4 * self._slack * (2 * norm + squared.sqrt()).square()
        return (squared.sqrt() / -self._scale).float()


def _refuse(nodes: np.ndarray, bad: Tensor, why: str) -> None:
    if bad.any():
        raise DataError(
            f"graph.knn: the embedding of node {nodes[int(bad.nonzero()[0])]} {why} (nodes count "
            "from 0 over the images of graph.splits, in the order of images.parquet)"
        )
