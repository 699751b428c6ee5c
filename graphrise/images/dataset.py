"""The pictures of a dataset folder, with the table that lists them."""

from __future__ import annotations

from pathlib import Path

from graphrise.data.tables import ImageTable, check_columns, read_images, table_files
from graphrise.images.base import ImageStore
from graphrise.images.features import FeatureStore, holds_features
from graphrise.images.pack_format import MANIFEST
from graphrise.images.store import PACKED, open_store


def open_images(dataset: Path) -> tuple[ImageTable, ImageStore]:
    """Read images.parquet and open its pictures; of a packed dataset no picture is read.

    Args:
        dataset: Dataset folder.

    Returns:
        The table, without column `image` if the dataset is packed, and the store by its rows: a
        `FeatureStore` if images.parquet names no pictures and there is features.npy.

    Raises:
        DataError: As `read_images`, `open_store` and `FeatureStore`.
    """
    if holds_features(dataset):
        table = read_images(dataset)
        return table, FeatureStore(table)
    columns = None
    if (dataset / PACKED / MANIFEST).exists():
        names = {n for f in table_files(dataset, "images") for n in check_columns(f, ()).names}
        columns = sorted(names - {"image"})
    table = read_images(dataset, columns)
    return table, open_store(dataset, table)
