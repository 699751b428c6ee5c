"""Refuses arrays that would turn into a wrong number without a sound."""

from __future__ import annotations

import numpy as np

from graphrise.errors import DataError

UNKNOWN = -1
"""The label or group of an image that has none."""


def check_labels(name: str, labels: np.ndarray) -> np.ndarray:
    """Labels as int64 [rows]; -1 means unknown.

    Raises:
        DataError: The array is empty, not one-dimensional, not of an integer dtype, or holds a
            value below -1.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise DataError(f"{name} has shape {labels.shape}: expected one label a row")
    if len(labels) == 0:
        raise DataError(f"{name} is empty: check that this split of images.parquet has rows")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{name} has dtype {labels.dtype}: labels are whole numbers, -1 = unknown")
    labels = labels.astype(np.int64)
    if labels.min() < UNKNOWN:
        row = int(labels.argmin())
        raise DataError(f"{name} holds {labels[row]} in row {row}: labels start at 0, -1 = unknown")
    return labels


def check_index(index: np.ndarray, queries: int, gallery: int) -> np.ndarray:
    """Neighbours int64 [queries, k], every entry a row of the gallery.

    Raises:
        DataError: The shape does not fit, or an entry lies outside the gallery.
    """
    index = np.asarray(index)
    if index.ndim != 2 or len(index) != queries:
        raise DataError(f"index has shape {index.shape}: expected [{queries} queries, neighbours]")
    if not np.issubdtype(index.dtype, np.integer):
        raise DataError(f"index has dtype {index.dtype}: expected rows of the gallery")
    if index.size and (index.min() < 0 or index.max() >= gallery):
        raise DataError(f"index points outside the gallery's {gallery} rows")
    return index.astype(np.int64, copy=False)


def check_embeddings(name: str, embeddings: np.ndarray) -> np.ndarray:
    """Embeddings as float32 [rows, D].

    Raises:
        DataError: There are no rows, the array is not two-dimensional, or holds NaN or infinity.
    """
    embeddings = np.asarray(embeddings, dtype=np.float32)
    if embeddings.ndim != 2:
        raise DataError(f"{name} has shape {embeddings.shape}: expected [rows, D]")
    if len(embeddings) == 0:
        raise DataError(f"{name} is empty: check that this split of images.parquet has rows")
    bad = ~np.isfinite(embeddings).all(axis=1)
    if bad.any():
        raise DataError(
            f"{name} holds NaN or infinity in {int(bad.sum())} of {len(embeddings)} rows, first in "
            f"row {int(bad.argmax())}: the encoder diverged, train again at a lower learning rate"
        )
    return embeddings
