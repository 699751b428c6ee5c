"""Nearest gallery images of queries that may themselves lie in the gallery."""

from __future__ import annotations

import numpy as np

from graphrise.errors import DataError
from graphrise.ops.knn import knn


def nearest(
    queries: np.ndarray, gallery: np.ndarray, k: int, own: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` gallery rows nearest to every query by cosine, without the query itself.

    Args:
        queries: Embeddings [Q, D].
        gallery: Embeddings [N, D].
        k: At least 1; clipped to the rows there are.
        own: Gallery row of every query, whole numbers [Q]; None: no query lies in the gallery.

    Returns:
        Cosines float32 [Q, min(k, N)] (with `own` min(k, N - 1)), falling along a row, and gallery
        rows int64 of the same shape.

    Raises:
        DataError: `own` is no row for each query, or as in `graphrise.ops.knn`.
    """
    if own is None:
        return knn(queries, gallery, k, "cosine")
    if len(own) != len(queries) or not len(own) or own.min() < 0 or own.max() >= len(gallery):
        raise DataError(f"own must hold a gallery row for each of the {len(queries)} queries")
    if np.array_equal(own, np.arange(len(gallery))):
        return knn(gallery, gallery, k, "cosine", exclude_self=True)
    cosine, index = knn(queries, gallery, k + 1, "cosine")
    # One is left out of every row: the query, or the last where copies of it took its place.
    kept = index != own[:, None]
    kept[kept.all(axis=1), -1] = False
    shape = len(index), index.shape[1] - 1
    return cosine[kept].reshape(shape), index[kept].reshape(shape)
