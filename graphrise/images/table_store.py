"""Pictures where images.parquet says: files beside it, or bytes in it."""

from __future__ import annotations

import os
import stat
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa

from graphrise.data.tables import ImageTable
from graphrise.errors import DataError
from graphrise.images.bad import BadImage
from graphrise.images.base import ImageStore
from graphrise.images.binary import BinaryView

_KINDS = {
    "image": (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null),
    "path": (pa.types.is_string, pa.types.is_large_string, pa.types.is_null),
}


class TableStore(ImageStore):
    """Bytes of column `image` where it is not null, else the file that column `path` names."""

    def __init__(self, table: ImageTable) -> None:
        """Keep the columns that say where pictures are; nothing is read yet.

        Raises:
            DataError: Column `image` does not hold bytes, or `path` no text.
        """
        names = table.table.column_names
        self.folder = table.folder
        self._ids = table.table.column("image_id")
        self._bytes = table.table.column("image") if "image" in names else None
        self._paths = table.table.column("path") if "path" in names else None
        self._check_types()
        lengths = [] if self._bytes is None else [len(chunk) for chunk in self._bytes.chunks]
        self._starts = [0, *accumulate(lengths)]
        self._views: list[BinaryView] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_views": None}

    def __len__(self) -> int:
        return len(self._ids)

    def read(self, row: int) -> bytes | memoryview:
        """Encoded picture of a row; of column `image` without a copy.

        Raises:
            BadImage: The file is missing, not a file, or cannot be opened.
        """
        path = self._path(row)
        if path is None:
            data = self._value(row)
            assert data is not None
            return data
        try:
            # Opening a pipe would wait for a writer.
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise BadImage("not a regular file")
            return path.read_bytes()
        except OSError as error:
            raise BadImage(error.strerror or error) from error
        except ValueError as error:  # a path with a null character
            raise BadImage(error) from error

    def source(self, row: int) -> str:
        """Path of the file, or "column 'image'"."""
        path = self._path(row)
        return "column 'image'" if path is None else str(path)

    def image_id(self, row: int) -> str | int:
        """Id of a row."""
        return self._ids[row].as_py()

    def _check_types(self) -> None:
        for name, column in (("image", self._bytes), ("path", self._paths)):
            kind = "encoded bytes (binary)" if name == "image" else "text"
            if column is not None and not any(is_kind(column.type) for is_kind in _KINDS[name]):
                raise DataError(
                    f"{self.folder / 'images.parquet'}: column {name!r} must hold {kind}, it is "
                    f"{column.type}"
                )

    def _value(self, row: int) -> memoryview | None:
        if self._bytes is None or pa.types.is_null(self._bytes.type):
            return None
        if self._views is None:
            self._views = [BinaryView(chunk) for chunk in self._bytes.chunks]
        chunk = bisect_right(self._starts, row) - 1
        return self._views[chunk][row - self._starts[chunk]]

    def _path(self, row: int) -> Path | None:
        if self._paths is None or self._value(row) is not None:
            return None
        return self.folder / self._paths[row].as_py()
