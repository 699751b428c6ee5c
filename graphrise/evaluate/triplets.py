"""Triplet ranking: is an image of the same label nearer than a look-alike of another label?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.checks import UNKNOWN, check_embeddings, check_labels


class NoTriplets(DataError):
    """No query has both a positive and a negative."""


@dataclass(frozen=True)
class Triplets:
    """Rows of one triplet set: `anchor` in the queries, the other two in the gallery."""

    anchor: np.ndarray
    """Query rows, int64 [T]."""
    positive: np.ndarray
    """Gallery rows with the anchor's label, int64 [T]."""
    negative: np.ndarray
    """Gallery rows of the anchor's group with another label, int64 [T]."""
    skipped: int
    """Queries without a triplet: label or group unknown, no positive, or no negative."""


@dataclass(frozen=True)
class MarginCurve:
    """Recall of triplets as the demanded margin rises."""

    margins: tuple[float, ...]
    """Rising, at least 0, in the unit of the distances."""
    recall: tuple[float, ...]
    """Share of triplets in 0..1 with d(a, p) + margin < d(a, n)."""
    area: float
    """Area under the curve over the span of the margins, so in 0..1: the mean recall."""


def build_triplets(
    query_labels: np.ndarray,
    query_groups: np.ndarray,
    gallery_labels: np.ndarray,
    gallery_groups: np.ndarray,
    per_query: int = 1,
    seed: int = 0,
) -> Triplets:
    """Draws (anchor, positive, negative) with a hard negative: another label of the same group.

    The paper's triplets (Graph-RISE, section on triplet evaluation) were rated by people and never
    released; these come from labels instead. Draws are uniform, with replacement. The gallery must
    not hold the query images themselves, or an anchor may be its own positive.

    Args:
        query_labels: Whole numbers [Q], -1 = unknown.
        query_groups: Coarser class of each query [Q] (a subcategory), -1 = unknown.
        gallery_labels: Whole numbers [N], -1 = unknown; such images are never drawn.
        gallery_groups: Whole numbers [N], -1 = unknown; such images are never negatives.
        per_query: Triplets for each query that has any, at least 1.
        seed: Of the draws.

    Raises:
        DataError: An array is empty or malformed; NoTriplets: no query has a triplet.
        ConfigError: `per_query` is below 1.
    """
    if per_query < 1:
        raise ConfigError(f"per_query is {per_query}: draw at least 1 triplet")
    labels, groups = _pair("query", query_labels, query_groups)
    gallery_l, gallery_g = _pair("gallery", gallery_labels, gallery_groups)

    by_label = np.argsort(gallery_l, kind="stable")
    positive_from, positives = _span(gallery_l[by_label], labels)
    pool = ((gallery_l != UNKNOWN) & (gallery_g != UNKNOWN)).nonzero()[0]
    pool = pool[np.lexsort((gallery_l[pool], gallery_g[pool]))]
    group_from, group_size = _span(gallery_g[pool], groups)
    own_from, own_size = _own_span(gallery_l, gallery_g, pool, labels, groups)
    negatives = group_size - own_size

    fit = (labels != UNKNOWN) & (groups != UNKNOWN) & (positives > 0) & (negatives > 0)
    if not fit.any():
        raise NoTriplets(
            f"none of the {len(labels)} queries has both a gallery image of its label and one of "
            "another label in its group: check the labels and groups of queries and gallery"
        )
    anchor = np.repeat(fit.nonzero()[0], per_query)
    rng = np.random.default_rng(seed)
    positive = by_label[positive_from[anchor] + rng.integers(positives[anchor])]
    # A group's images lie sorted by label: step over the run that carries the anchor's own.
    place = group_from[anchor] + rng.integers(negatives[anchor])
    place = np.where(place >= own_from[anchor], place + own_size[anchor], place)
    return Triplets(anchor, positive, pool[place], int((~fit).sum()))


def triplet_distances(
    anchor: np.ndarray, positive: np.ndarray, negative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distances anchor-positive and anchor-negative: squared L2 of the normalised embeddings.

    That is 2 - 2 cosine, in 0..4. A zero embedding stays zero and is at distance 1 from all others.

    Args:
        anchor: Embeddings [T, D].
        positive: Embeddings [T, D].
        negative: Embeddings [T, D].

    Returns:
        Two float32 arrays [T].

    Raises:
        DataError: An array is empty, of another shape, or not finite.
    """
    a = _normalised("anchor", anchor)
    p = _normalised("positive", positive)
    n = _normalised("negative", negative)
    if not a.shape == p.shape == n.shape:
        raise DataError(f"shapes differ: anchor {a.shape}, positive {p.shape}, negative {n.shape}")
    return np.square(a - p).sum(axis=1), np.square(a - n).sum(axis=1)


def triplet_accuracy(anchor: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of triplets in 0..1 whose positive is strictly nearer than the negative.

    Distances and errors are those of `triplet_distances`; a tie counts as wrong.

    Args:
        anchor: Embeddings [T, D].
        positive: Embeddings [T, D].
        negative: Embeddings [T, D].
    """
    d_pos, d_neg = triplet_distances(anchor, positive, negative)
    return float((d_pos < d_neg).mean())


def recall_vs_margin(
    d_pos: np.ndarray, d_neg: np.ndarray, margins: Sequence[float] | np.ndarray
) -> MarginCurve:
    """Share of triplets with d(a, p) + m < d(a, n) for every margin m, and the area below.

    The curve of the Graph-RISE paper. It works on the distances it is given; with those of
    `triplet_distances` (squared L2 of normalised embeddings) margins from 0 to 2 say it all.

    Args:
        d_pos: Distances anchor-positive [T].
        d_neg: Distances anchor-negative [T].
        margins: At least two, rising, each at least 0.

    Raises:
        DataError: Distances are empty, of different lengths or not finite.
        ConfigError: The margins do not rise from 0 or above, or are fewer than two.
    """
    gap = np.asarray(d_neg, dtype=np.float64) - np.asarray(d_pos, dtype=np.float64)
    if gap.ndim != 1 or len(gap) == 0 or np.shape(d_pos) != np.shape(d_neg):
        raise DataError(f"distances have shapes {np.shape(d_pos)} and {np.shape(d_neg)}")
    if not np.isfinite(gap).all():
        raise DataError("distances hold NaN or infinity")
    m = np.asarray(margins, dtype=np.float64)
    if m.ndim != 1 or len(m) < 2 or not np.isfinite(m).all() or m[0] < 0 or (np.diff(m) <= 0).any():
        raise ConfigError("margins must be two or more finite numbers that rise from 0 or above")
    recall = 1 - np.searchsorted(np.sort(gap), m, side="right") / len(gap)
    area = float((np.diff(m) * (recall[1:] + recall[:-1]) / 2).sum() / (m[-1] - m[0]))
    return MarginCurve(tuple(m.tolist()), tuple(recall.tolist()), area)


def _pair(name: str, labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels = check_labels(f"{name}_labels", labels)
    groups = check_labels(f"{name}_groups", groups)
    if len(labels) != len(groups):
        raise DataError(f"{len(labels)} {name} labels, but {len(groups)} {name} groups")
    return labels, groups


def _span(ordered: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each value starts in a sorted array, and how often it stands there."""
    start = np.searchsorted(ordered, values, side="left")
    return start, np.searchsorted(ordered, values, side="right") - start


def _own_span(
    gallery_labels: np.ndarray,
    gallery_groups: np.ndarray,
    pool: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Where in `pool`, sorted by (group, label), each query's own group and label stand.

    For a label or group that the gallery lacks the answer means nothing; such a query has no
    positive or no negative and is skipped for that reason.
    """
    # Dense codes, because a product of raw labels and groups may leave int64.
    label_codes, group_codes = np.unique(gallery_labels), np.unique(gallery_groups)

    def key(of_labels: np.ndarray, of_groups: np.ndarray) -> np.ndarray:
        group = np.searchsorted(group_codes, of_groups)
        return group * len(label_codes) + np.searchsorted(label_codes, of_labels)

    return _span(key(gallery_labels[pool], gallery_groups[pool]), key(labels, groups))


def _normalised(name: str, embeddings: np.ndarray) -> np.ndarray:
    x = check_embeddings(name, embeddings)
    tiny = np.finfo(np.float32).tiny
    # The largest entry first: the norm of huge or tiny rows would leave float32.
    x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), tiny)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), tiny)
