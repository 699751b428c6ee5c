"""The store of a dataset: its packed form if it has one, else what images.parquet names."""

from __future__ import annotations

from pathlib import Path

from graphrise.data.tables import ImageTable
from graphrise.errors import DataError
from graphrise.images.base import ImageStore as ImageStore
from graphrise.images.pack_format import MANIFEST, digest
from graphrise.images.packed_store import PackedStore
from graphrise.images.table_store import TableStore

PACKED = "packed"
"""Folder of the packed form, within the dataset."""


def open_store(dataset: Path, table: ImageTable) -> ImageStore:
    """Open a dataset's pictures; none is read yet.

    Args:
        dataset: Dataset folder. A finished pack in `DATASET/packed` is used; an unfinished one is
            not.
        table: Its images.parquet.

    Raises:
        DataError: The pack is damaged, or was made from another images.parquet.
    """
    folder = dataset / PACKED
    if not (folder / MANIFEST).exists():
        return TableStore(table)
    store = PackedStore(folder)
    if len(store) != len(table) or store.digest != digest(table):
        raise DataError(
            f"{folder}: was packed from another images.parquet; run "
            f"`graphrise pack {dataset} --overwrite`, or remove the folder"
        )
    return store
