"""kNN edges from an embedding: every pair compared, or above a size an IVF index."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from graphrise.config.graph import KnnConfig
from graphrise.data.files import whole_file
from graphrise.graph import store
from graphrise.graph.ivf import search_lists
from graphrise.graph.knn_scan import Galleries, Nearest, hits, in_order, scan_all, tiles
from graphrise.graph.knn_space import Space

QUERIES = 1024
TOGETHER = 16
"""Sets of QUERIES that share one reading of a gallery too large to be kept."""
EDGES_PER_PART = 4_000_000

Edges = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
"""Takes sources (int64, rising from call to call), targets (int64) and scores (float32)."""
Show = Callable[[float], None]


def knn_edges(
    vectors: np.ndarray,
    config: KnnConfig,
    folder: Path,
    *,
    display: Show | None = None,
) -> tuple[list[Path], dict[str, Any]]:
    """Find each node's nearest and write them as directed edges.

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
    show = display or (lambda fraction: None)
    parts = _Parts(folder, config.metric, len(space))
    at_least = -np.inf
    if config.threshold is not None:
        at_least = config.threshold if config.metric == "cosine" else -config.threshold
    summary: dict[str, Any] = {
        "index": "exact",
        "metric": config.metric,
        **dict.fromkeys(("lists", "probes", "recall", "recall_sample")),
    }
    galleries = Galleries(space, config.block)
    k = len(space) - 1 if config.top_k is None else min(config.top_k, len(space) - 1)
    if config.top_k is None:
        _all_within(space, at_least, galleries, parts.add, show)
    elif k and len(space) <= config.exact_up_to:
        _exact(space, k, at_least, galleries, parts.add, show)
    elif k:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            found = search_lists(space, k, at_least, config, Path(scratch), parts.add, show)
        summary |= {"index": "ivf", **found}
    files = parts.close()
    return files, summary | {"edges_dropped_not_positive": parts.dropped}


def _exact(
    space: Space, k: int, at_least: float, galleries: Galleries, add: Edges, show: Show
) -> None:
    for together in _queries(len(space), galleries):
        some = [Nearest(space, nodes, k, at_least) for nodes in together]
        scan_all(some, galleries)
        for one in some:
            add(*one.edges())
        show((some[-1].nodes[-1] + 1) / len(space))


def _all_within(
    space: Space, at_least: float, galleries: Galleries, add: Edges, show: Show
) -> None:
    """Every pair of at least a score: no limit per node."""
    limit = np.float32(at_least)
    for together in _queries(len(space), galleries):
        read = [space.read(nodes) for nodes in together]
        floors = [space.floor(block, torch.full((len(block),), float(limit))) for block in read]
        found: list[list[tuple[np.ndarray, ...]]] = [[] for _ in together]
        for gallery in galleries:
            for nodes, block, floor, into in zip(together, read, floors, found, strict=True):
                queries = space.as_queries(block)
                for rows, names, some in tiles(gallery, torch.arange(len(block))):
                    query, row = hits(space, rows, queries[some], floor[some])
                    source, target = nodes[some[query].numpy()], names[row].numpy()
                    score = space.scores(source, target)
                    near = (score >= limit) & (source != target)
                    into.append((source[near], target[near], score[near]))
        for nodes, into in zip(together, found, strict=True):
            source, target, score = map(np.concatenate, zip(*into, strict=True))
            order = in_order(source - nodes[0], score, target)
            add(source[order], target[order], score[order])
        show((together[-1][-1] + 1) / len(space))


def _queries(num_nodes: int, galleries: Galleries) -> Iterator[list[np.ndarray]]:
    """All nodes, as sets of sets of consecutive ones; single sets if nothing is read twice."""
    step = QUERIES * (TOGETHER if galleries.several else 1)
    for first in range(0, num_nodes, step):
        nodes = np.arange(first, min(first + step, num_nodes))
        yield np.split(nodes, range(QUERIES, nodes.size, QUERIES))


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
