"""One query set against one gallery: every metric of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphrise.config import EvaluateConfig
from graphrise.errors import DataError
from graphrise.evaluate.hierarchy import hierarchical_recall
from graphrise.evaluate.knn import knn_classify, recall_at_k, top_k_accuracy
from graphrise.evaluate.ranking import map_at_r, r_precision
from graphrise.evaluate.relevant import needed_k, relevant_count
from graphrise.evaluate.triplets import MarginCurve, NoTriplets
from graphrise.evaluate.triplets_labels import build_triplets
from graphrise.evaluate.triplets_score import judge, judge_levels
from graphrise.ops.knn import knn

RECALL_AT = (1, 5, 10)


@dataclass(frozen=True)
class Embedded:
    """Embedded images with what is known of them.

    Attributes:
        embeddings: float32 `[N, D]`.
        labels: int64 `[N]`, instance, -1 = unknown.
        groups: int64 `[N]`, coarser class, -1 = unknown.
        levels: int64 `[N]` for each of `EvaluateConfig.levels`, -1 = unknown.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    levels: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Score:
    """What one query set scored.

    Attributes:
        metrics: Metric name to share in 0..1.
        counts: Queries scored and left out, triplets, queries without a triplet.
        margin_curve: Triplet recall against the margin; None if there was no triplet.
        neighbours: int64 `[Q, K]`, gallery rows, nearest first; K is what the metrics needed.
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
    """Recall@k, kNN top-1/top-5, R-precision, MAP@R and triplets by cosine similarity.

    With `config.group` also recall@1 of the group, once as it is and once with the images of the
    query's instance removed. What needs more neighbours than `config.r_up_to` is left out, and a
    count says so.

    Args:
        gallery: Images searched.
        queries: Images searched for.
        config: k of the kNN vote, limit of R, triplets per query.
        same: Queries are the gallery itself: each is left out of its own neighbours.

    Raises:
        DataError: A set is empty, embeddings are not finite, or no query can be scored.
    """
    if len(gallery.embeddings) < 1 + same or len(queries.embeddings) == 0:
        raise DataError("evaluate: the gallery or the query set is empty")
    needed = needed_k(queries.labels, gallery.labels, same)
    over_r = needed <= config.r_up_to
    # Recall of the group may have to look past all images of the instance.
    width = max(config.k, *RECALL_AT, needed + (config.group is not None) if over_r else 0)
    vectors = gallery.embeddings if same else queries.embeddings
    similarity, index = knn(vectors, gallery.embeddings, width, "cosine", exclude_self=same)
    recall = recall_at_k(index, gallery.labels, queries.labels, RECALL_AT, leave_one_out=same)
    ranked = knn_classify(index, similarity, gallery.labels, config.k)
    accuracy = top_k_accuracy(ranked, queries.labels, gallery.labels, leave_one_out=same)
    metrics = {f"recall@{k}": v for k, v in recall.values.items()}
    metrics |= {f"knn@{k}": v for k, v in accuracy.values.items()}
    counts = {"queries scored": recall.scored, "queries left out": recall.left_out}
    if over_r:
        more, more_counts = _over_r(gallery, queries, config, index, same)
        metrics |= more
        counts |= more_counts
    else:
        counts["neighbours needed for map@r, above evaluate.r_up_to"] = needed
    curve = None
    if not same:
        if config.triplets == "labels":
            curve, triplet_metrics, triplet_counts = _triplets(gallery, queries, config)
            metrics |= triplet_metrics
            counts |= triplet_counts
        if config.levels:
            level_metrics, level_counts = judge_levels(
                (queries.embeddings, (queries.labels, *queries.levels)),
                (gallery.embeddings, (gallery.labels, *gallery.levels)),
                config.levels,
                config.triplets_per_query,
            )
            metrics |= level_metrics
            counts |= level_counts
    return Score(metrics, counts, curve, index)


def _over_r(
    gallery: Embedded, queries: Embedded, config: EvaluateConfig, index: np.ndarray, same: bool
) -> tuple[dict[str, float], dict[str, int]]:
    """What needs as many neighbours as a label has images."""
    labels = index, gallery.labels, queries.labels, same
    metrics = {"r-precision": r_precision(*labels).mean, "map@r": map_at_r(*labels).mean}
    known = relevant_count(queries.groups, gallery.groups, same) if config.group else np.zeros(1)
    if not known.any():
        return metrics, {}
    levels = (gallery.labels, gallery.groups), (queries.labels, queries.groups)
    group = hierarchical_recall(index, *levels, leave_one_out=same)[-1]
    metrics["group recall@1"] = group.recall.mean
    if group.without_finer is None:
        return metrics, {}
    metrics["group recall@1 without instance"] = group.without_finer.mean
    return metrics, {"queries with other instances of their group": group.without_finer.scored}


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
    curve, metrics = judge(triplets, queries.embeddings, gallery.embeddings)
    counts = {"triplets": triplets.anchor.size, "queries without a triplet": triplets.skipped}
    return curve, metrics, counts
