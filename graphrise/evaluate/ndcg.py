"""Normalised discounted cumulative gain, binary or graded by a label hierarchy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphrise.errors import ConfigError
from graphrise.evaluate.checks import check_index
from graphrise.evaluate.levels import check_levels, check_nested, check_pair
from graphrise.evaluate.per_query import PerQuery, per_query
from graphrise.evaluate.relevant import check_width, findable, relevant_count


def ndcg_at_k(
    index: np.ndarray,
    gallery_labels: np.ndarray | Sequence[np.ndarray],
    query_labels: np.ndarray | Sequence[np.ndarray],
    k: int = 10,
    leave_one_out: bool = False,
) -> PerQuery:
    """NDCG@k: gains of the k nearest, discounted by log2(place + 1), over those of the best order.

    One label array: an image of the query's label gains 1. L arrays, finest first: an image gains
    L where it agrees with the query at the finest level, L - 1 where at the next, ... and 0 where
    at none. The gain is linear, as in scikit-learn and torchmetrics (Jarvelin and Kekalainen,
    2002). The best order is that of the whole gallery, not of the neighbours in the index. A query
    without a gallery image of any gain is left out.

    Args:
        index: Gallery rows [Q, K] of every query, nearest first.
        gallery_labels: Whole numbers [N], -1 = unknown, or one such array a level.
        query_labels: Whole numbers [Q], -1 = unknown, or one such array a level.
        k: At least 1 and at most K, unless K spans the whole gallery.
        leave_one_out: The index comes from `knn(exclude_self=True)`.

    Raises:
        DataError: An array is empty or malformed, K is too small, a label has two labels at a
            coarser level, or no query can be scored.
        ConfigError: `k` is below 1.
    """
    if k < 1:
        raise ConfigError(f"k is {k}: it must be at least 1")
    gallery = check_levels("gallery_labels", _levels(gallery_labels))
    queries = check_levels("query_labels", _levels(query_labels))
    check_pair(gallery, queries)
    check_nested(gallery, queries)
    index = check_index(index, len(queries[0]), len(gallery[0]))
    check_width(f"NDCG@{k}", k, index.shape[1], len(gallery[0]) - leave_one_out)
    within = _within(gallery, queries, leave_one_out)
    discount = 1 / np.log2(np.arange(2, 2 + min(k, len(gallery[0]))))
    # The best order puts the finest level first, so a level adds 1 to every place it reaches.
    total = np.concatenate(([0.0], discount.cumsum()))
    best = total[np.minimum(within, len(discount))].sum(axis=0)

    def value(rows: np.ndarray) -> np.ndarray:
        near = index[rows, :k]
        gain = np.zeros(near.shape)
        for level in reversed(range(len(gallery))):
            agrees = gallery[level][near] == queries[level][rows, None]
            agrees &= queries[level][rows, None] >= 0
            gain[agrees] = len(gallery) - level
        return gain @ discount[: near.shape[1]] / best[rows]

    return per_query(findable(within[-1]), k, value)


def _levels(labels: np.ndarray | Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    return [labels] if isinstance(labels, np.ndarray) else list(labels)


def _within(
    gallery: list[np.ndarray], queries: list[np.ndarray], leave_one_out: bool
) -> np.ndarray:
    """Gallery images that agree with a query at a level or a finer one, int64 [levels, Q]."""
    counts = [relevant_count(q, g, leave_one_out) for g, q in zip(gallery, queries, strict=True)]
    # Levels are nested; a level where the query's label is unknown counts none of its own.
    return np.maximum.accumulate(np.stack(counts), axis=0)
