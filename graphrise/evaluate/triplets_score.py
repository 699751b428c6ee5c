"""Triplets of embedded images as the metrics of a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphrise.evaluate.triplets import (
    MarginCurve,
    NoTriplets,
    Triplets,
    recall_vs_margin,
    triplet_distances,
)
from graphrise.evaluate.triplets_labels import triplets_at_level

MARGINS = np.linspace(0, 1, 41)
OTHER = "other"
"""Name of the level at which anchor and negative share no label."""


def judge(
    triplets: Triplets, queries: np.ndarray, gallery: np.ndarray
) -> tuple[MarginCurve, dict[str, float]]:
    """Recall against margin, and the metrics `triplets` (accuracy) and `margin area`.

    Args:
        triplets: Rows of `queries` (anchors) and of `gallery`.
        queries: Embeddings [Q, D].
        gallery: Embeddings [N, D].

    Raises:
        DataError: Embeddings are not finite.
    """
    near, far = triplet_distances(
        queries[triplets.anchor], gallery[triplets.positive], gallery[triplets.negative]
    )
    curve = recall_vs_margin(near, far, MARGINS)
    return curve, {"triplets": float((near < far).mean()), "margin area": curve.area}


def judge_levels(
    queries: tuple[np.ndarray, Sequence[np.ndarray]],
    gallery: tuple[np.ndarray, Sequence[np.ndarray]],
    names: Sequence[str],
    per_query: int,
) -> tuple[dict[str, float], dict[str, int]]:
    """Accuracy by the level that anchor and negative share, from look-alikes to anything else.

    Args:
        queries: Embeddings [Q, D] and labels [Q] of each level, the finest (the instance) first.
        gallery: The same of the gallery.
        names: Of the levels but the finest.
        per_query: Triplets for each query that has any.

    Returns:
        `triplets NAME` and last `triplets other`, without a level that has no triplet; and for each
        level the number of queries without a triplet.

    Raises:
        DataError: As `triplets_at_level`, and embeddings that are not finite.
    """
    metrics, missing = {}, {}
    for shared, name in [*enumerate(names, start=1), (None, OTHER)]:
        try:
            triplets = triplets_at_level(queries[1], gallery[1], shared, per_query)
        except NoTriplets:
            missing[f"queries without a triplet ({name})"] = len(queries[0])
            continue
        missing[f"queries without a triplet ({name})"] = triplets.skipped
        metrics[f"triplets {name}"] = judge(triplets, queries[0], gallery[0])[1]["triplets"]
    return metrics, missing
