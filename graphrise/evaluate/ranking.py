"""Metrics of a ranked list: precision@1, R-precision and MAP@R."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from graphrise.errors import ConfigError
from graphrise.evaluate.checks import check_index, check_labels
from graphrise.evaluate.per_query import PerQuery, per_query
from graphrise.evaluate.relevant import check_width, findable, relevant_count

RECALL_AT = (1, 5, 10)
"""k of the recalls that are reported."""


def recall_per_query(
    index: np.ndarray,
    gallery_labels: np.ndarray,
    query_labels: np.ndarray,
    k: int = 1,
    leave_one_out: bool = False,
) -> PerQuery:
    """1 for a query with an image of its label among the k nearest, else 0; the mean is recall@k.

    Args:
        index: Gallery rows [Q, K] of every query, nearest first.
        gallery_labels: Whole numbers [N], -1 = unknown.
        query_labels: Whole numbers [Q], -1 = unknown.
        k: At least 1 and at most K, unless K spans the whole gallery.
        leave_one_out: As in `recall_at_k`.

    Raises:
        DataError: An array is empty or malformed, K is too small, or no query can be scored.
        ConfigError: `k` is below 1.
    """
    if k < 1:
        raise ConfigError(f"k is {k}: it must be at least 1")
    query_labels = check_labels("query_labels", query_labels)
    gallery_labels = check_labels("gallery_labels", gallery_labels)
    index = check_index(index, len(query_labels), len(gallery_labels))
    check_width(f"recall@{k}", k, index.shape[1], len(gallery_labels) - leave_one_out)
    scored = findable(relevant_count(query_labels, gallery_labels, leave_one_out))

    def value(rows: np.ndarray) -> np.ndarray:
        return (gallery_labels[index[rows, :k]] == query_labels[rows, None]).any(axis=1)

    return per_query(scored, k, value)


def precision_at_1(
    index: np.ndarray,
    gallery_labels: np.ndarray,
    query_labels: np.ndarray,
    leave_one_out: bool = False,
) -> PerQuery:
    """1 for a query whose nearest image has its label, else 0: the same as recall@1.

    With queries and gallery the same set and each query left out of its own neighbours it is the
    precision@1, or recall@1, that metric learning reports on CUB, Cars and SOP.

    Arguments and errors are those of `recall_per_query`.
    """
    return recall_per_query(index, gallery_labels, query_labels, 1, leave_one_out)


def r_precision(
    index: np.ndarray,
    gallery_labels: np.ndarray,
    query_labels: np.ndarray,
    leave_one_out: bool = False,
) -> PerQuery:
    """Share of images of the query's label among its R nearest, R being how many there are.

    Musgrave et al., "A metric learning reality check" (arXiv 2003.08505), section 3. A query whose
    label no gallery image carries (leave-one-out: no other one) is left out.

    Args:
        index: Gallery rows [Q, K] of every query, nearest first, as `graphrise.ops.knn` gives; K
            at least `needed_k(query_labels, gallery_labels, leave_one_out)`.
        gallery_labels: Whole numbers [N], -1 = unknown; an unknown image is never right.
        query_labels: Whole numbers [Q], -1 = unknown.
        leave_one_out: The index comes from `knn(exclude_self=True)`: the query is not counted in R.

    Raises:
        DataError: An array is empty or malformed, K is too small, or no query can be scored.
    """
    return _over_r("R-precision", _precision, index, gallery_labels, query_labels, leave_one_out)


def map_at_r(
    index: np.ndarray,
    gallery_labels: np.ndarray,
    query_labels: np.ndarray,
    leave_one_out: bool = False,
) -> PerQuery:
    """Mean over the R nearest of the precision at each right image, 0 at a wrong one: MAP@R.

    Musgrave et al. (arXiv 2003.08505), section 3: unlike R-precision it rewards right images for
    coming first. Arguments and errors are those of `r_precision`.
    """
    return _over_r("MAP@R", _average_precision, index, gallery_labels, query_labels, leave_one_out)


def _over_r(
    metric: str,
    value: Callable[[np.ndarray, np.ndarray], np.ndarray],
    index: np.ndarray,
    gallery_labels: np.ndarray,
    query_labels: np.ndarray,
    leave_one_out: bool,
) -> PerQuery:
    """Values of (hits among the R nearest, bool [rows, largest R]; R [rows])."""
    query_labels = check_labels("query_labels", query_labels)
    gallery_labels = check_labels("gallery_labels", gallery_labels)
    index = check_index(index, len(query_labels), len(gallery_labels))
    relevant = relevant_count(query_labels, gallery_labels, leave_one_out)
    scored = findable(relevant)
    most = int(relevant.max())
    check_width(metric, most, index.shape[1], len(gallery_labels) - leave_one_out)

    def of_rows(rows: np.ndarray) -> np.ndarray:
        hits = gallery_labels[index[rows, :most]] == query_labels[rows, None]
        hits &= np.arange(hits.shape[1]) < relevant[rows, None]
        return value(hits, relevant[rows])

    return per_query(scored, most, of_rows)


def _precision(hits: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    return hits.sum(axis=1) / relevant


def _average_precision(hits: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    precision = hits.cumsum(axis=1, dtype=np.int32) / np.arange(1, hits.shape[1] + 1)
    return (precision * hits).sum(axis=1) / relevant
