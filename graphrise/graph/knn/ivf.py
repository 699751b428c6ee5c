"""Approximate nearest neighbours of all nodes: a FAISS index of k-means lists (IVF)."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphrise.config.graph import KnnConfig
from graphrise.graph.knn.search import Nearest, Show, on_gpu
from graphrise.graph.knn.space import Space

QUERIES = 1 << 18
"""Nodes that look for neighbours at a time."""
LOOKS = 1 << 23
"""Their number times that of the lists they look into is at most this."""
SAMPLE = 2000
"""Nodes whose true nearest set the number of probes, and as many that check it."""
_PER_LIST = 128
"""Vectors per list that k-means sees."""
_ROUNDS = 10
"""Of k-means: after 5, twice the lists must be looked into; 20 take longer than they save."""
_RANKED = 256
"""Sampled nodes whose lists are ranked at a time."""
_SEED = 1


def search_ivf(space: Space, nearest: Nearest, config: KnnConfig, show: Show) -> dict[str, Any]:
    """Find the nearest of all nodes.

    The lists are trained once; blocks of nodes pass through them, each searched by all.

    Args:
        space: The vectors.
        nearest: Of all nodes.
        config: `recall` and `block` are used.
        show: Called with the fraction done.

    Returns:
        `lists`, `probes`, and `recall` on `recall_sample` nodes that did not set `probes`.
    """
    random = np.random.default_rng(_SEED)
    index = train(space, random)
    sample = np.sort(random.choice(len(space), min(2 * SAMPLE, len(space)), replace=False))
    shape = sample.size, nearest.scores.shape[1]
    room = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.int64)
    truth = Nearest(sample, nearest.at_least, *room)
    exact = on_gpu(space.flat_index(), truth.candidates)
    truth.search(space, exact, config.block, lambda done: None)
    held = np.arange(sample.size) % 2 == 1
    lists = index.nlist
    probes = probes_for(space, index, sample[~held], truth.found[~held], config.recall)
    index.nprobe = probes
    queries = max(1, min(QUERIES, LOOKS // probes))
    index = on_gpu(index, max(nearest.candidates, probes))
    nearest.search(space, index, config.block, show, queries)
    return {
        "lists": lists,
        "probes": probes,
        "recall": _recall(truth.scores[held], nearest.scores[sample[held]]),
        "recall_sample": int(held.sum()),
    }


def train(space: Space, random: np.random.Generator) -> Any:
    """An empty FAISS index of about 4 sqrt(N) lists, trained on a sample of the vectors."""
    import faiss

    cosine, width = space.metric == "cosine", space.vectors.shape[1]
    lists = max(1, min(int(4 * len(space) ** 0.5), len(space) // 8))
    size = min(len(space), _PER_LIST * lists)
    metric = faiss.METRIC_INNER_PRODUCT if cosine else faiss.METRIC_L2
    index: Any = faiss.IndexIVFFlat(space.flat_index(), width, lists, metric)
    index.cp.niter, index.cp.seed, index.cp.spherical = _ROUNDS, _SEED, cosine
    # The sample is small on purpose: FAISS warns on stderr, and thins out larger ones.
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, size
    assign = on_gpu(space.flat_index(), 1)  # named, as the index only points at it
    index.clustering_index = assign
    index.train(space.read(np.sort(random.choice(len(space), size, replace=False))))
    index.clustering_index = None
    return index


def probes_for(
    space: Space, index: Any, sample: np.ndarray, found: np.ndarray, recall: float
) -> int:
    """How many lists to look into.

    Args:
        space: The vectors.
        index: Trained; what it holds is not looked at.
        sample: int64 `[S]`, nodes.
        found: int64 `[S, k]`, their true nearest; -1 for none.
        recall: Share of them to find, to which a standard error is added.
    """
    there = found >= 0
    if recall == 1:
        return index.nlist
    if not there.any():
        return 1
    # A neighbour is found if its list is among the first that the query looks into.
    names, place = np.unique(found[there], return_inverse=True)
    home = np.zeros(found.shape, dtype=np.int64)
    home[there] = index.quantizer.search(space.read(names), 1)[1][place, 0]
    rank = np.empty_like(home)
    for first in range(0, sample.size, _RANKED):
        some = slice(first, first + _RANKED)
        order = index.quantizer.search(space.read(sample[some]), index.nlist)[1]
        rank[some] = np.take_along_axis(np.argsort(order, axis=1), home[some], axis=1)
    lists = np.quantile(rank[there], recall, method="inverted_cdf")
    rows = there.any(axis=1)
    per_node = ((rank <= lists) & there).sum(axis=1)[rows] / there.sum(axis=1)[rows]
    asked = min(1.0, recall + per_node.std() / per_node.size**0.5)
    return int(np.quantile(rank[there], asked, method="inverted_cdf")) + 1


def _recall(truth: np.ndarray, ours: np.ndarray) -> float:
    """Share of the true neighbours that were found; of equal scores one is as good as another.

    Args:
        truth: float32 `[S, k]`, true scores, -inf where there is none.
        ours: float32 `[S, k]`, as above.
    """
    there = np.isfinite(truth)
    worst = np.where(there, truth, np.inf).min(axis=1, keepdims=True)
    return float((ours >= worst).sum() / there.sum()) if there.any() else 1.0
