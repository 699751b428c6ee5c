"""Rows of a matrix where other datasets have pictures: features.npy beside images.parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from graphrise.data.tables import FEATURES, ImageTable, check_columns, table_files
from graphrise.errors import DataError
from graphrise.images.bad import BadImage
from graphrise.images.base import ImageStore


def holds_features(dataset: Path) -> bool:
    """Whether a dataset's images are rows of features.npy: images.parquet names no picture.

    A dataset of pictures may have a file of that name too, to build a kNN graph from.

    Raises:
        DataError: images.parquet is missing or not readable.
    """
    if not (dataset / FEATURES).is_file():
        return False
    files = table_files(dataset, "images")
    return not any({"path", "image"} & set(check_columns(file, ()).names) for file in files)


class FeatureStore(ImageStore):
    """A float32 matrix `[N, D]`, mapped into memory; its row i is row i of images.parquet.

    Attributes:
        file: The matrix.
        width: D.
    """

    def __init__(self, table: ImageTable) -> None:
        """Map features.npy of the dataset folder; no row is read yet.

        Raises:
            DataError: It is not a .npy file of float32 `[N, D]`, or holds pickled objects, which
                are never loaded; or N is not the number of images.
        """
        self.folder = table.folder
        self.file = table.folder / FEATURES
        self._ids = table.table.column("image_id")
        self._matrix: np.ndarray | None = self._opened()
        self.width = self._matrix.shape[1]

    def __len__(self) -> int:
        return len(self._ids)

    def __getstate__(self) -> dict[str, Any]:
        # Another process maps the file itself; pickled, a map would be its content.
        return {**self.__dict__, "_matrix": None}

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Features of some rows, in memory: int64 `[B]` to float32 `[B, D]`."""
        if self._matrix is None:
            self._matrix = self._opened()
        return np.take(self._matrix, rows, axis=0)

    def read(self, row: int) -> bytes | memoryview:
        """There are no pictures.

        Raises:
            BadImage: Always.
        """
        raise BadImage("its image is a row of features, not a picture")

    def source(self, row: int) -> str:
        """File and row."""
        return f"{FEATURES}, row {row}"

    def image_id(self, row: int) -> str | int:
        """Id of a row."""
        return self._ids[row].as_py()

    def _opened(self) -> np.ndarray:
        try:
            matrix = open_memmap(self.file, mode="r")  # it unpickles nothing
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{self.file}: not a readable .npy file ({error})") from error
        if matrix.dtype != np.float32 or matrix.ndim != 2 or 0 in matrix.shape:
            raise DataError(
                f"{self.file}: is {matrix.dtype} {list(matrix.shape)}; it must be float32 "
                f"[{len(self)}, D], saved as np.save({FEATURES!r}, x.astype(np.float32))"
            )
        if len(matrix) != len(self):
            raise DataError(
                f"{self.file}: has {len(matrix):,} rows, images.parquet has {len(self):,}: it "
                "needs one for each, in the same order"
            )
        return np.asarray(matrix)
