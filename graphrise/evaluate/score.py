"""One query set against one gallery: every metric of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphrise.config import EvaluateConfig
from graphrise.errors import DataError
from graphrise.evaluate.knn import knn_classify, recall_at_k, top_k_accuracy
from graphrise.evaluate.triplets import (
    MarginCurve,
    NoTriplets,
    build_triplets,
    recall_vs_margin,
    triplet_distances,
)
from graphrise.ops.knn import knn

RECALL_AT = (1, 5, 10)
MARGINS = np.linspace(0, 1, 41)


@dataclass(frozen=True)
class Embedded:
    """Embedded images with what is known of them.

    Attributes:
        embeddings: float32 `[N, D]`.
        labels: int64 `[N]`, instance, -1 = unknown.
        groups: int64 `[N]`, coarser class, -1 = unknown.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Score:
    """What one query set scored.

    Attributes:
        metrics: Metric name to share in 0..1.
        counts: Queries scored and left out, triplets, queries without a triplet.
        margin_curve: Triplet recall against the margin; None if there was no triplet.
        neighbours: int64 `[Q, k]`, gallery rows, nearest first.
    """

    metrics: dict[str, float]
    counts: dict[str, int]
    margin_curve: MarginCurve | None
    neighbours: np.ndarray


def codes(values: Sequence[object], vocabulary: dict[str, int]) -> np.ndarray:
    """Labels as whole numbers; new ones join `vocabulary`, None is -1."""
    return np.array(
        [-1 if v is None else vocabulary.setdefault(str(v), len(vocabulary)) for v in values],
        dtype=np.int64,
    )


def score(
    gallery: Embedded, queries: Embedded, config: EvaluateConfig, *, same: bool = False
) -> Score:
    """Recall@k, kNN top-1/top-5 and triplets by cosine similarity.

    Args:
        gallery: Images searched.
        queries: Images searched for.
        config: k of the kNN vote, triplets per query.
        same: Queries are the gallery itself: each is left out of its own neighbours.

    Raises:
        DataError: A set is empty, embeddings are not finite, or no query can be scored.
    """
    if len(gallery.embeddings) < 1 + same or len(queries.embeddings) == 0:
        raise DataError("evaluate: the gallery or the query set is empty")
    width = max(config.k, *RECALL_AT)
    vectors = gallery.embeddings if same else queries.embeddings
    similarity, index = knn(vectors, gallery.embeddings, width, "cosine", exclude_self=same)
    recall = recall_at_k(index, gallery.labels, queries.labels, RECALL_AT, leave_one_out=same)
    ranked = knn_classify(index, similarity, gallery.labels, config.k)
    accuracy = top_k_accuracy(ranked, queries.labels, gallery.labels, leave_one_out=same)
    metrics = {f"recall@{k}": v for k, v in recall.values.items()}
    metrics |= {f"knn@{k}": v for k, v in accuracy.values.items()}
    counts = {"queries scored": recall.scored, "queries left out": recall.left_out}
    curve = None
    if not same:
        curve, triplet_metrics, triplet_counts = _triplets(gallery, queries, config)
        metrics |= triplet_metrics
        counts |= triplet_counts
    return Score(metrics, counts, curve, index)


def _triplets(
    gallery: Embedded, queries: Embedded, config: EvaluateConfig
) -> tuple[MarginCurve | None, dict[str, float], dict[str, int]]:
    try:
        triplets = build_triplets(
            queries.labels,
            queries.groups,
            gallery.labels,
            gallery.groups,
            per_query=config.triplets_per_query,
        )
    except NoTriplets:
        return None, {}, {"queries without a triplet": len(queries.labels)}
    near, far = triplet_distances(
        queries.embeddings[triplets.anchor],
        gallery.embeddings[triplets.positive],
        gallery.embeddings[triplets.negative],
    )
    curve = recall_vs_margin(near, far, MARGINS)
    metrics = {"triplets": float((near < far).mean()), "margin area": curve.area}
    counts = {"triplets": triplets.anchor.size, "queries without a triplet": triplets.skipped}
    return curve, metrics, counts
