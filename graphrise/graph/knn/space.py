"""How near two vectors are: in float64 for the edges, in float32 for FAISS to search by."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from graphrise.errors import DataError

_READ = 1 << 16
_GATHER = 1 << 16
_SAMPLE = 4096
_FARTHEST = 1e18
_ROUNDING = 2.0**-24


class Space:
    """Vectors of N nodes and the score of a pair: the cosine, or minus the Euclidean distance.

    Scores are computed in float64 and rounded to float32, so blocks, threads and direction do not
    change them. What FAISS is given only finds candidates.

    Attributes:
        vectors: `[N, D]`, float16, float32 or float64; may be memory-mapped.
        metric: `cosine` or `l2`.
    """

    def __init__(self, vectors: np.ndarray, metric: Literal["cosine", "l2"]) -> None:
        """Take `vectors`, at least one."""
        self.vectors, self.metric = np.asarray(vectors), metric
        self._slack = (vectors.shape[1] + 16) * _ROUNDING
        if metric == "l2":
            # float32 squares tell distances apart around the origin only. The median, as one
            # vector far away would move the mean away from all others.
            sample = np.asarray(vectors[:: -(-len(vectors) // _SAMPLE)], dtype=np.float64)
            self._middle = np.median(sample, axis=0)
            norm = np.linalg.norm(sample - self._middle, axis=1)
            self._scale = 1 / float(np.median(norm) or norm.mean() or 1)

    def __len__(self) -> int:
        return len(self.vectors)

    def flat_index(self) -> Any:
        """An empty FAISS index that compares every pair of what `read` gives."""
        import faiss

        kind = faiss.IndexFlatIP if self.metric == "cosine" else faiss.IndexFlatL2
        return kind(self.vectors.shape[1])

    def read(self, nodes: np.ndarray) -> np.ndarray:
        """Vectors for FAISS: of length 1 (cosine), or centred and scaled (l2).

        Args:
            nodes: int64 `[n]`.

        Returns:
            float32 `[n, D]`.

        Raises:
            DataError: A vector of zeros, which has no cosine, or one too far from the others.
        """
        out = np.empty((nodes.size, self.vectors.shape[1]), dtype=np.float32)
        for some in even(nodes.size, _READ):
            block = self.vectors[nodes[some]].astype(np.float64)
            if self.metric == "l2":
                block = (block - self._middle) * self._scale
            norm = np.sqrt(np.vecdot(block, block))
            if self.metric == "cosine":
                wrong, why = norm == 0, "is all zeros, which has no cosine: leave the image out"
                _refuse(nodes[some], wrong, why)
                block /= norm[:, None]
            else:
                _refuse(nodes[some], norm > _FARTHEST, "is too far from the others for float32")
            out[some] = block
        return out

    def fill(self, index: Any, start: int, block: int, read: Callable | None = None) -> None:
        """Make a FAISS index hold `block` nodes from `start` on, numbered from 0, and no others.

        Args:
            index: Trained, if it must be.
            start: First node.
            block: Nodes, if there are as many.
            read: Gives their vectors; None: `read`.
        """
        index.reset()
        nodes = np.arange(start, min(start + block, len(self)))
        for some in even(nodes.size, _READ):
            index.add((read or self.read)(nodes[some]))

    def lifted(self, nodes: np.ndarray) -> np.ndarray:
        """A gallery for `lifted_queries`, float32 `[n, D + 2]`."""
        block = self.read(nodes)
        half = np.square(block, dtype=np.float64).sum(axis=1) / 2 * (self.metric == "l2")
        return np.column_stack((block, -half.astype(np.float32), np.ones_like(block[:, 0])))

    def lifted_queries(self, nodes: np.ndarray, at_least: float) -> np.ndarray:
        """Queries whose product with a row of `lifted` is above 0 if the score is `at_least`.

        The product is q.g - |g|^2 / 2 (cosine: q.g) minus a limit that lies so low that rounding
        hides no pair; each query has its own, as the farthest one needs the lowest.

        Args:
            nodes: int64 `[n]`.
            at_least: Score.

        Returns:
            float32 `[n, D + 2]`.
        """
        block = self.read(nodes)
        limit = np.full(nodes.size, at_least - self._slack)
        if self.metric == "l2":
            norm = np.linalg.norm(block.astype(np.float64), axis=1)
            far = min(-at_least * self._scale, 4 * _FARTHEST)  # no two are farther apart
            # A node so near has a norm of at most norm + far, and that bounds the rounding.
            limit = (norm**2 - far**2) / 2 - self._slack * (2 * norm + far) ** 2 - 1e-30
        return np.column_stack((block, np.ones_like(block[:, 0]), -limit.astype(np.float32)))

    def scores(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Exact scores of some nodes with T others each.

        Args:
            source: int64 `[Q]`.
            target: int64 `[Q, T]`.

        Returns:
            float32 `[Q, T]`.
        """
        out = np.empty(target.shape, dtype=np.float32)
        # Few at a time: what is gathered stays in the cache.
        step = max(1, _GATHER // (target.shape[1] * self.vectors.shape[1]))
        for start in range(0, source.size, step):
            at = slice(start, start + step)
            a = self.vectors[source[at]].astype(np.float64)[:, None]
            b = self.vectors[target[at]].astype(np.float64)
            if self.metric == "cosine":
                out[at] = np.vecdot(a, b) / np.sqrt(np.vecdot(a, a) * np.vecdot(b, b))
            else:
                b -= a
                out[at] = -np.sqrt(np.vecdot(b, b))
        return out


def even(count: int, most: int) -> list[slice]:
    """Parts of at most `most`, as even as can be: FAISS is slow with few queries."""
    ends = np.linspace(0, count, max(1, -(-count // most)) + 1).astype(int).tolist()
    return [slice(*pair) for pair in pairwise(ends)]


def _refuse(nodes: np.ndarray, bad: np.ndarray, why: str) -> None:
    if bad.any():
        raise DataError(
            f"graph.knn: the embedding of node {nodes[bad.argmax()]} {why} (nodes count "
            "from 0 over the images of graph.splits, in the order of images.parquet)"
        )
