"""Modified mean precision at k: mMP@5 of the universal embedding benchmark."""

from __future__ import annotations

import numpy as np

from graphrise.errors import ConfigError
from graphrise.evaluate.checks import check_index, check_labels
from graphrise.evaluate.per_query import PerQuery, per_query
from graphrise.evaluate.relevant import check_width, findable, relevant_count


def modified_precision(
    index: np.ndarray,
    gallery_labels: np.ndarray,
    query_labels: np.ndarray,
    k: int = 5,
    leave_one_out: bool = False,
) -> PerQuery:
    """Share of images of the query's label among its min(k, R) nearest, R being how many there are.

    The mean is mMP@k (Ypsilantis et al., "Towards Universal Image Embeddings", ICCV 2023, section
    on evaluation, k 5): precision@k that a query with fewer than k right images can bring to 1. A
    query without a right image is left out.

    Args:
        index: Gallery rows [Q, K] of every query, nearest first.
        gallery_labels: Whole numbers [N], -1 = unknown; an unknown image is never right.
        query_labels: Whole numbers [Q], -1 = unknown.
        k: At least 1 and at most K, unless K spans the whole gallery.
        leave_one_out: The queries lie in the gallery and are not in their own rows of the index:
            a query is not counted in R.

    Raises:
        DataError: An array is empty or malformed, K is too small, or no query can be scored.
        ConfigError: `k` is below 1.
    """
    if k < 1:
        raise ConfigError(f"k is {k}: it must be at least 1")
    query_labels = check_labels("query_labels", query_labels)
    gallery_labels = check_labels("gallery_labels", gallery_labels)
    index = check_index(index, len(query_labels), len(gallery_labels))
    relevant = relevant_count(query_labels, gallery_labels, leave_one_out)
    scored = findable(relevant)
    looked_at = np.minimum(relevant, k)
    width = int(looked_at.max())
    check_width(f"mMP@{k}", width, index.shape[1], len(gallery_labels) - leave_one_out)

    def value(rows: np.ndarray) -> np.ndarray:
        hits = gallery_labels[index[rows, :width]] == query_labels[rows, None]
        hits &= np.arange(hits.shape[1]) < looked_at[rows, None]
        return hits.sum(axis=1) / looked_at[rows]

    return per_query(scored, width, value)
