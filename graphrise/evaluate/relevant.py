"""How many gallery images are right for a query, and how many neighbours that asks for."""

from __future__ import annotations

import numpy as np

from graphrise.errors import DataError
from graphrise.evaluate.checks import UNKNOWN, check_labels


def relevant_count(
    query_labels: np.ndarray, gallery_labels: np.ndarray, leave_one_out: bool = False
) -> np.ndarray:
    """Gallery images of each query's label: R in R-precision and MAP@R.

    Args:
        query_labels: Whole numbers [Q], -1 = unknown.
        gallery_labels: Whole numbers [N], -1 = unknown.
        leave_one_out: The queries are in the gallery; the query itself does not count.

    Returns:
        int64 [Q]; 0 where the label is unknown or has no (other) image.

    Raises:
        DataError: An array is empty or malformed.
    """
    query_labels = check_labels("query_labels", query_labels)
    gallery_labels = check_labels("gallery_labels", gallery_labels)
    labels, counts = np.unique(gallery_labels[gallery_labels != UNKNOWN], return_counts=True)
    if len(labels) == 0:
        return np.zeros(len(query_labels), dtype=np.int64)
    place = np.searchsorted(labels, query_labels).clip(max=len(labels) - 1)
    found = np.where(labels[place] == query_labels, counts[place], 0)
    return (found - int(leave_one_out)).clip(min=0)


def needed_k(
    query_labels: np.ndarray, gallery_labels: np.ndarray, leave_one_out: bool = False
) -> int:
    """Neighbours a query that `r_precision` and `map_at_r` need: the largest R.

    0 if no query has a relevant image. Arguments and errors are those of `relevant_count`.
    """
    return int(relevant_count(query_labels, gallery_labels, leave_one_out).max())


def findable(relevant: np.ndarray) -> np.ndarray:
    """Queries that can be right, bool [Q]; refuses a set without any.

    Args:
        relevant: From `relevant_count`.

    Raises:
        DataError: No query has a relevant image.
    """
    found = relevant > 0
    if not found.any():
        raise DataError(
            f"none of the {len(found)} queries has a label that the gallery holds: "
            "check that both come from one label vocabulary"
        )
    return found


def check_width(metric: str, needed: int, width: int, whole: int) -> None:
    """Refuse an index that is too narrow for a metric.

    Args:
        metric: Its name, for the message.
        needed: Neighbours a query that it looks at.
        width: Neighbours a query that the index holds.
        whole: Neighbours a query if the index spanned the gallery, which is always enough.

    Raises:
        DataError: The index holds fewer than `needed` and does not span the gallery.
    """
    if width < min(needed, whole):
        raise DataError(
            f"{metric} needs {min(needed, whole)} neighbours a query, the index holds {width}: "
            "search with that k"
        )
