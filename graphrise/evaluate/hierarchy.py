"""Recall at every level of a label hierarchy, with and without the help of the finer level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphrise.evaluate.checks import UNKNOWN, check_index
from graphrise.evaluate.levels import check_levels, check_pair, joint
from graphrise.evaluate.per_query import PerQuery, per_query
from graphrise.evaluate.ranking import recall_per_query
from graphrise.evaluate.relevant import check_width, relevant_count


@dataclass(frozen=True, eq=False)
class LevelRecall:
    """Recall@k at one level."""

    recall: PerQuery
    """1 for a query with an image of its label among the k nearest, else 0."""
    without_finer: PerQuery | None
    """The same after the images of the query's label at the next finer level were taken out of the
    gallery. A query is left out where its finer label is unknown or nothing of its label remains.
    None at the finest level, and where all queries would be left out."""


def hierarchical_recall(
    index: np.ndarray,
    gallery_levels: Sequence[np.ndarray],
    query_levels: Sequence[np.ndarray],
    k: int = 1,
    leave_one_out: bool = False,
) -> list[LevelRecall]:
    """Recall@k at each level: instance, subcategory, category.

    A query that finds its own instance finds its category too. The recall without the finer label
    is what the embedding knows of the category beyond that.

    Args:
        index: Gallery rows [Q, K] of every query, nearest first. For the recall without the finer
            label K must be at least k + `needed_k` of every level but the coarsest, unless K
            spans the whole gallery.
        gallery_levels: Whole numbers [N] for every level, finest first, -1 = unknown. An image of
            unknown finer label stays in the gallery.
        query_levels: Whole numbers [Q] for every level.
        k: At least 1.
        leave_one_out: As in `recall_at_k`.

    Returns:
        One entry a level, finest first.

    Raises:
        DataError: An array is empty or malformed, K is too small, or no query can be scored at
            some level.
        ConfigError: `k` is below 1.
    """
    gallery = check_levels("gallery_levels", gallery_levels)
    queries = check_levels("query_levels", query_levels)
    check_pair(gallery, queries)
    index = check_index(index, len(queries[0]), len(gallery[0]))
    found = []
    for level in range(len(gallery)):
        recall = recall_per_query(index, gallery[level], queries[level], k, leave_one_out)
        without = None
        if level > 0:
            fine = gallery[level - 1], queries[level - 1]
            label = gallery[level], queries[level]
            without = _without_finer(index, fine, label, k, leave_one_out)
        found.append(LevelRecall(recall, without))
    return found


def _without_finer(
    index: np.ndarray,
    fine: tuple[np.ndarray, np.ndarray],
    label: tuple[np.ndarray, np.ndarray],
    k: int,
    leave_one_out: bool,
) -> PerQuery | None:
    """Recall@k of `label` (gallery, queries) among images that differ in `fine`."""
    (gallery_fine, query_fine), (gallery_label, query_label) = fine, label
    # Coded together, so that a pair has the same code in both.
    pairs = joint(np.concatenate(label), np.concatenate(fine))
    same_pair = relevant_count(pairs[len(gallery_fine) :], pairs[: len(gallery_fine)])
    remaining = relevant_count(query_label, gallery_label) - same_pair
    scored = (query_fine != UNKNOWN) & (remaining > 0)
    if not scored.any():
        return None
    removed = relevant_count(query_fine, gallery_fine, leave_one_out)[scored].max()
    needed = k + int(removed)
    metric = f"recall@{k} without the finer label"
    check_width(metric, needed, index.shape[1], len(gallery_fine) - leave_one_out)

    def value(rows: np.ndarray) -> np.ndarray:
        near = index[rows, :needed]
        kept = gallery_fine[near] != query_fine[rows, None]
        place = kept.cumsum(axis=1, dtype=np.int32)
        right = gallery_label[near] == query_label[rows, None]
        return (right & kept & (place <= k)).any(axis=1)

    return per_query(scored, needed, value)
