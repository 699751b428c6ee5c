"""Triplet ranking: is the image that belongs to the anchor nearer than the one that does not?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.checks import check_embeddings


class NoTriplets(DataError):
    """Nothing has both a positive and a negative."""


@dataclass(frozen=True)
class Triplets:
    """Rows of one triplet set.

    Drawn from labels, `anchor` is a row of the queries and the other two are rows of the gallery;
    read from a file or drawn from clicks, all three are rows of images.parquet.
    """

    anchor: np.ndarray
    """Rows of the images judged from, int64 [T]."""
    positive: np.ndarray
    """Rows of the images that belong to the anchor, int64 [T]."""
    negative: np.ndarray
    """Rows of the images that do not, int64 [T]."""
    skipped: int
    """Queries, or result lists, that gave no triplet: something is unknown, there is no positive,
    or no negative."""


@dataclass(frozen=True)
class MarginCurve:
    """Recall of triplets as the demanded margin rises."""

    margins: tuple[float, ...]
    """Rising, at least 0, in the unit of the distances."""
    recall: tuple[float, ...]
    """Share of triplets in 0..1 with d(a, p) + margin < d(a, n)."""
    area: float
    """Area under the curve over the span of the margins, so in 0..1: the mean recall."""


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


def _normalised(name: str, embeddings: np.ndarray) -> np.ndarray:
    x = check_embeddings(name, embeddings)
    tiny = np.finfo(np.float32).tiny
    # The largest entry first: the norm of huge or tiny rows would leave float32.
    x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), tiny)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), tiny)
