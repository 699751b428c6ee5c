"""kNN edges from an embedding: every pair compared, or above a size an IVF index."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap

from graphrise.config.graph import KnnConfig
from graphrise.data.files import whole_file
from graphrise.graph import store
from graphrise.graph.knn.ivf import search_ivf
from graphrise.graph.knn.search import Nearest, Show, on_gpu
from graphrise.graph.knn.space import Space, even

QUERIES = 4096
"""Nodes whose neighbours, any number each, are searched at a time."""
TOGETHER = 16
"""Sets of QUERIES that share one reading of blocks."""
EDGES_PER_PART = 4_000_000


def knn_edges(
    vectors: np.ndarray,
    config: KnnConfig,
    folder: Path,
    *,
    display: Show | None = None,
) -> tuple[list[Path], dict[str, Any]]:
    """Find each node's nearest and write them as directed edges.

    FAISS searches, in float32; what it finds, and for `top_k` a few more, is scored in float64.
    So weights are exact, and so is the choice of neighbours unless more than those few lie within
    float32 rounding of the last one: among many equal vectors FAISS chooses. With `top_k` None no
    pair is missed.

    Args:
        vectors: `[N, D]`, finite, float16, float32 or float64; may be memory-mapped.
        config: How; `min_weight`, `scale` and `symmetric` are not applied here.
        folder: Existing folder for the parts.
        display: Called with the fraction done.

    Returns:
        At least one Parquet file of `source`, `target` (int32, or int64: `store.id_dtype`) and
        `weight` (float32, above 0), sources rising over the files, a source's heaviest edges
        first; and what graph.json keeps: `index`, `metric`, `lists`, `probes`, `recall`,
        `recall_sample` (None for `exact`) and `edges_dropped_not_positive`.

    Raises:
        DataError: A vector of zeros (cosine), or one too far from the others (l2).
    """
    space = Space(vectors, config.metric)
    show = display or (lambda done: None)
    parts = _Parts(folder, config.metric, len(space))
    at_least = -np.inf
    if config.threshold is not None:
        at_least = config.threshold if config.metric == "cosine" else -config.threshold
    summary: dict[str, Any] = {
        "index": "exact",
        "metric": config.metric,
        **dict.fromkeys(("lists", "probes", "recall", "recall_sample")),
    }
    k = len(space) - 1 if config.top_k is None else min(config.top_k, len(space) - 1)
    if config.top_k is None:
        _all_within(space, at_least, config.block, parts, show)
    elif k:
        summary |= _nearest(space, k, at_least, config, folder, parts, show)
    files = parts.close()
    return files, summary | {"edges_dropped_not_positive": parts.dropped}


def _nearest(
    space: Space,
    k: int,
    at_least: float,
    config: KnnConfig,
    folder: Path,
    parts: _Parts,
    show: Show,
) -> dict[str, Any]:
    """The k nearest of every node; what of the summary an IVF index adds."""
    summary: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        scores, found = (
            open_memmap(Path(scratch) / name, mode="w+", dtype=dtype, shape=(len(space), k))
            for name, dtype in (("scores.npy", np.float32), ("found.npy", np.int64))
        )
        nearest = Nearest(np.arange(len(space)), at_least, scores, found)
        if len(space) <= config.exact_up_to:
            index = on_gpu(space.flat_index(), nearest.candidates)
            nearest.search(space, index, config.block, show)
        else:
            summary = {"index": "ivf"} | search_ivf(space, nearest, config, show)
        for some in even(len(space), max(1, EDGES_PER_PART // k)):
            there = found[some] >= 0
            source = np.repeat(nearest.nodes[some], there.sum(axis=1))
            parts.add(source, found[some][there], scores[some][there])
    return summary


def _all_within(space: Space, at_least: float, block: int, parts: _Parts, show: Show) -> None:
    """Every pair of at least a score: no limit per node."""
    import faiss

    index = faiss.IndexFlatIP(space.vectors.shape[1] + 2)  # range_search is not for GPUs
    starts = range(0, len(space), block)
    together = QUERIES * (TOGETHER if len(starts) > 1 else 1)
    for those in even(len(space), together):
        nodes = np.arange(those.start, those.stop)
        pairs = []
        for start in starts:
            if len(starts) > 1 or those.start == 0:
                space.fill(index, start, block, space.lifted)
            for some in even(nodes.size, QUERIES):
                queries = space.lifted_queries(nodes[some], at_least)
                limits, _, found = index.range_search(queries, 0.0)
                source = np.repeat(nodes[some], np.diff(limits.astype(np.int64)))
                target = found + start
                score = space.scores(source, target[:, None])[:, 0]
                near = (score >= np.float32(at_least)) & (source != target)
                pairs.append((source[near], target[near], score[near]))
        source, target, score = map(np.concatenate, zip(*pairs, strict=True))
        order = np.lexsort((target, -score, source))
        parts.add(source[order], target[order], score[order])
        show(those.stop / len(space))


class _Parts:
    """Part files of directed edges.

    Attributes:
        dropped: Edges left out as their cosine was not above 0.
    """

    def __init__(self, folder: Path, metric: str, num_nodes: int) -> None:
        self._folder, self._metric, self._dtype = folder, metric, store.id_dtype(num_nodes)
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._count, self._files, self.dropped = 0, [], 0

    def add(self, source: np.ndarray, target: np.ndarray, score: np.ndarray) -> None:
        """Take edges of rising sources."""
        if self._metric == "cosine":
            weight, above = score, score > 0
            self.dropped += int(above.size - above.sum())
            source, target, weight = source[above], target[above], weight[above]
        else:
            weight = (1 / (1 - score.astype(np.float64))).astype(np.float32)
        self._waiting.append((source.astype(self._dtype), target.astype(self._dtype), weight))
        self._count += source.size
        if self._count >= EDGES_PER_PART:
            self._write()

    def close(self) -> list[Path]:
        """Write the rest; the files, in order."""
        if self._waiting or not self._files:
            self._write()
        return self._files

    def _write(self) -> None:
        nothing = np.empty(0, dtype=self._dtype)
        empty = (nothing, nothing, np.empty(0, dtype=np.float32))
        columns = map(np.concatenate, zip(empty, *self._waiting, strict=True))
        table = pa.table(dict(zip(("source", "target", "weight"), columns, strict=True)))
        file = self._folder / f"knn-{len(self._files):05}.parquet"
        with whole_file(file) as temporary:
            pq.write_table(table, temporary)
        self._files.append(file)
        self._waiting, self._count = [], 0
