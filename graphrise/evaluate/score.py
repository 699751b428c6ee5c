"""One query set against one gallery: the scores that models are compared by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphrise.config import EvaluateConfig
from graphrise.errors import DataError
from graphrise.evaluate.details import Detail
from graphrise.evaluate.embedded import Embedded
from graphrise.evaluate.hierarchy import hierarchical_recall
from graphrise.evaluate.knn import knn_classify, recall_at_k, top_k_accuracy
from graphrise.evaluate.neighbors import nearest
from graphrise.evaluate.ranking import RECALL_AT, map_at_r, r_precision
from graphrise.evaluate.relevant import needed_k, relevant_count
from graphrise.evaluate.triplets import MarginCurve, NoTriplets
from graphrise.evaluate.triplets_labels import build_triplets
from graphrise.evaluate.triplets_score import judge, judge_levels


@dataclass(frozen=True)
class Score:
    """What one query set scored.

    Attributes:
        metrics: Metric name to share in 0..1.
        counts: Queries scored and left out, triplets, queries without a triplet.
        margin_curve: Triplet recall against the margin; None if there was no triplet.
        neighbours: int64 `[Q, K]`, gallery rows, nearest first; K is what the metrics needed.
        detail: What a report says beyond this; None where it was not asked for.
    """

    metrics: dict[str, float]
    counts: dict[str, int]
    margin_curve: MarginCurve | None
    neighbours: np.ndarray
    detail: Detail | None = None


def score(
    gallery: Embedded,
    queries: Embedded,
    config: EvaluateConfig,
    *,
    own: np.ndarray | None = None,
) -> Score:
    """Recall@k, kNN top-1/top-5, R-precision, MAP@R and triplets by cosine similarity.

    With `config.group` also recall@1 of the group, once as it is and once with the images of the
    query's instance removed. What needs more neighbours than `config.r_up_to` is left out, and a
    count says so.

    Args:
        gallery: Images searched.
        queries: Images searched for.
        config: k of the kNN vote, limit of R, triplets per query.
        own: Gallery row of every query, whole numbers [Q], where the queries lie in the gallery
            (or are all of it): each is left out of its own neighbours, so that recall@1 is the
            leave-one-out precision@1. Triplets by labels are then left out.

    Raises:
        DataError: A set is empty, embeddings are not finite, or no query can be scored.
    """
    same = own is not None
    if len(gallery.embeddings) < 1 + same or len(queries.embeddings) == 0:
        raise DataError("evaluate: the gallery or the query set is empty")
    needed = needed_k(queries.labels, gallery.labels, same)
    over_r = needed <= config.r_up_to
    # Recall of the group may have to look past all images of the instance.
    width = max(config.k, *RECALL_AT, needed + (config.group is not None) if over_r else 0)
    similarity, index = nearest(queries.embeddings, gallery.embeddings, width, own)
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
        curve, more, more_counts = _triplets(gallery, queries, config)
        metrics |= more
        counts |= more_counts
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
    """Triplets drawn by label, and by level where there are levels."""
    curve, metrics, counts = None, dict[str, float](), dict[str, int]()
    if config.triplets == "labels":
        groups = queries.labels, queries.groups, gallery.labels, gallery.groups
        try:
            triplets = build_triplets(*groups, per_query=config.triplets_per_query)
            curve, metrics = judge(triplets, queries.embeddings, gallery.embeddings)
            counts["triplets"] = triplets.anchor.size
            counts["queries without a triplet"] = triplets.skipped
        except NoTriplets:
            counts["queries without a triplet"] = len(queries.labels)
    if config.levels:
        level_metrics, level_counts = judge_levels(
            (queries.embeddings, (queries.labels, *queries.levels)),
            (gallery.embeddings, (gallery.labels, *gallery.levels)),
            config.levels,
            config.triplets_per_query,
        )
        metrics |= level_metrics
        counts |= level_counts
    return curve, metrics, counts
