"""kNN classification and recall from lists of neighbours (Graph-RISE, evaluation by kNN search)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.checks import UNKNOWN, check_index, check_labels
from graphrise.evaluate.relevant import findable, relevant_count

_RANKED = 5


@dataclass(frozen=True)
class AtK:
    """A share of queries for several k, and how many queries it is a share of."""

    values: dict[int, float]
    """k -> share in 0..1."""
    scored: int
    """Queries counted."""
    left_out: int
    """Queries not counted: their label is unknown or has no image in the gallery."""


def recall_at_k(
    index: np.ndarray,
    gallery_labels: np.ndarray,
    query_labels: np.ndarray,
    ks: Sequence[int] = (1, 5),
    leave_one_out: bool = False,
) -> AtK:
    """Share of queries with at least one image of their own label among the k nearest.

    This is Recall@K of metric learning (Song et al., arXiv 1511.06452), also called CMC@k. A query
    whose label no gallery image carries cannot be right at any k: it is left out and counted.

    Args:
        index: Gallery rows [Q, K] of every query, nearest first, as `graphrise.ops.knn` gives.
        gallery_labels: Whole numbers [N], -1 = unknown; an unknown image is never right.
        query_labels: Whole numbers [Q], -1 = unknown.
        ks: Each at least 1 and at most K, unless K spans the whole gallery.
        leave_one_out: The index comes from `knn(exclude_self=True)`: a label then needs a second
            image in the gallery for its query to count.

    Raises:
        DataError: An array is empty or malformed, K is too small, or no query can be scored.
        ConfigError: A k is below 1.
    """
    query_labels = check_labels("query_labels", query_labels)
    gallery_labels = check_labels("gallery_labels", gallery_labels)
    index = check_index(index, len(query_labels), len(gallery_labels))
    _check_ks(ks, index.shape[1], len(gallery_labels) - leave_one_out)
    scored = findable(relevant_count(query_labels, gallery_labels, leave_one_out))
    hits = gallery_labels[index[scored]] == query_labels[scored, None]
    values = {int(k): float(hits[:, :k].any(axis=1).mean()) for k in ks}
    return AtK(values, int(scored.sum()), int((~scored).sum()))


def knn_classify(
    index: np.ndarray,
    scores: np.ndarray,
    gallery_labels: np.ndarray,
    k: int,
    weighting: Literal["majority", "similarity"] = "majority",
) -> np.ndarray:
    """Ranks the labels of the k nearest gallery images by their votes.

    Labels with equal votes are ranked by their nearest image. A gallery image of unknown label
    takes its place among the k and does not vote.

    Args:
        index: Gallery rows [Q, K], nearest first.
        scores: Similarities [Q, K], larger is nearer (cosine or inner product, not distances);
            read for `similarity` only.
        gallery_labels: Whole numbers [N], -1 = unknown.
        k: Voters, at least 1; clipped to K.
        weighting: `majority`, one voice each, or `similarity`, each its score, at least 0.

    Returns:
        Labels int64 [Q, min(k, K, 5)], best first, filled up with -1 where fewer labels voted.

    Raises:
        DataError: An array is empty or malformed, or a score is not finite.
        ConfigError: `k` is below 1 or the weighting is unknown.
    """
    if k < 1:
        raise ConfigError(f"k is {k}: at least 1 neighbour must vote")
    if weighting not in ("majority", "similarity"):
        raise ConfigError(f"weighting is {weighting!r}: use 'majority' or 'similarity'")
    gallery_labels = check_labels("gallery_labels", gallery_labels)
    index = check_index(index, len(index), len(gallery_labels))[:, :k]
    if index.size == 0:
        raise DataError(f"index has shape {index.shape}: there is no query or no neighbour")
    votes = np.ones(index.shape)
    if weighting == "similarity":
        votes = _similarity_votes(scores, index.shape)
    return _rank_labels(gallery_labels[index], votes)


def top_k_accuracy(
    ranked: np.ndarray,
    query_labels: np.ndarray,
    gallery_labels: np.ndarray,
    ks: Sequence[int] = (1, 5),
    leave_one_out: bool = False,
) -> AtK:
    """Share of queries whose label is among the first k that kNN classification ranked.

    A query whose label no gallery image carries is left out and counted, as in `recall_at_k`.

    Args:
        ranked: Labels [Q, R] from `knn_classify`, best first, -1 = none.
        query_labels: Whole numbers [Q], -1 = unknown.
        gallery_labels: Whole numbers [N], -1 = unknown.
        ks: Each at least 1; a k above R looks at all R labels.
        leave_one_out: As in `recall_at_k`.

    Raises:
        DataError: An array is empty or malformed, or no query can be scored.
        ConfigError: A k is below 1.
    """
    query_labels = check_labels("query_labels", query_labels)
    gallery_labels = check_labels("gallery_labels", gallery_labels)
    ranked = np.asarray(ranked)
    if ranked.ndim != 2 or len(ranked) != len(query_labels):
        raise DataError(f"ranked has shape {ranked.shape}: expected [{len(query_labels)}, labels]")
    _check_ks(ks, ranked.shape[1], ranked.shape[1])
    scored = findable(relevant_count(query_labels, gallery_labels, leave_one_out))
    hits = ranked[scored] == query_labels[scored, None]
    values = {int(k): float(hits[:, :k].any(axis=1).mean()) for k in ks}
    return AtK(values, int(scored.sum()), int((~scored).sum()))


def _check_ks(ks: Sequence[int], width: int, whole: int) -> None:
    if len(ks) == 0 or min(ks) < 1:
        raise ConfigError(f"ks is {tuple(ks)}: every k must be at least 1")
    if max(ks) > width and width < whole:
        raise DataError(f"k = {max(ks)} needs that many neighbours, the index holds {width}")


def _similarity_votes(scores: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or len(scores) != shape[0] or scores.shape[1] < shape[1]:
        raise DataError(f"scores have shape {scores.shape}, the index has {shape}")
    scores = scores[:, : shape[1]]
    if not np.isfinite(scores).all():
        raise DataError("scores hold NaN or infinity")
    return scores.clip(min=0)


def _rank_labels(labels: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Labels [Q, k] and their votes [Q, k] to ranked labels [Q, min(k, 5)]."""
    # Equal labels of a row side by side, nearest first, so that one pass adds up their votes.
    order = labels.argsort(axis=1, kind="stable")
    sorted_labels = np.take_along_axis(labels, order, axis=1)
    first = np.ones(labels.shape, dtype=bool)
    first[:, 1:] = sorted_labels[:, 1:] != sorted_labels[:, :-1]
    starts = first.ravel().nonzero()[0]
    total = np.add.reduceat(np.take_along_axis(votes, order, axis=1).ravel(), starts)
    row, label, nearest = starts // labels.shape[1], sorted_labels[first], order[first]
    known = label != UNKNOWN
    row, label, total, nearest = row[known], label[known], total[known], nearest[known]
    best = np.lexsort((nearest, -total, row))
    row, label = row[best], label[best]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    ranked = np.full((len(labels), min(labels.shape[1], _RANKED)), UNKNOWN, dtype=np.int64)
    kept = place < ranked.shape[1]
    ranked[row[kept], place[kept]] = label[kept]
    return ranked
