"""The rows that a pack is made of, a part at a time: a catalogue's bytes exceed memory."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from graphrise.data.tables import ImageTable, check_columns, table_files
from graphrise.errors import DataError

pc: Any = pyarrow.compute  # its functions are made at import; type checkers see none

BATCH = 256
"""Rows of column `image` that one read decodes."""


class PackSource:
    """Rows of images.parquet with column `image`, which is read forward and not kept.

    Row groups without a wanted part are not read.

    Attributes:
        dataset: Dataset folder.
        schema: Of the rows.
    """

    def __init__(self, images: ImageTable, parts: Collection[int], part_rows: int) -> None:
        """Look up where column `image` is; nothing of it is read yet.

        Args:
            images: images.parquet without column `image`.
            parts: Numbers of the parts that will be read.
            part_rows: Rows of a part.

        Raises:
            DataError: Files are of types that do not go together in column `image`.
        """
        self.dataset = images.folder
        self._table = images.table
        self._part_rows = part_rows
        self._files = table_files(self.dataset, "images")
        self._type = _image_type(self._files)
        self.schema: pa.Schema = self._table.schema
        if self._type is not None:
            self.schema = self.schema.append(pa.field("image", self._type))
        self._pieces = self._read_pieces(frozenset(parts))
        self._first, self._piece = 0, pa.nulls(0)

    def read(self, part: int) -> Iterator[pa.Table]:
        """Rows of a part, some at a time; parts are read in rising order.

        Raises:
            DataError: A file cannot be read or has changed, or a row has neither path nor image.
        """
        start = part * self._part_rows
        stop = min(start + self._part_rows, len(self._table))
        while start < stop:
            rows = self._table.slice(start, stop - start)
            if self._type is not None:
                values = self._values(start, stop)
                rows = rows.slice(0, len(values)).append_column(self.schema.field("image"), values)
            self._check_places(rows, start)
            yield rows
            start += len(rows)

    def close(self) -> None:
        """Close the file that is being read."""
        self._pieces.close()

    def _values(self, start: int, stop: int) -> pa.Array:
        """Column `image` from row `start` on, as far as one read went and before `stop`."""
        while self._first + len(self._piece) <= start:
            try:
                self._first, self._piece = next(self._pieces)
            except StopIteration:
                where = self.dataset / "images.parquet"
                raise DataError(f"{where}: changed while packing; run it again") from None
        return self._piece.slice(start - self._first, stop - start)

    def _read_pieces(self, parts: frozenset[int]) -> Generator[tuple[int, pa.Array]]:
        """First row and values of stretches of column `image`, at least those of `parts`."""

        def wanted(start: int, stop: int) -> bool:
            last = (stop - 1) // self._part_rows
            return any(part in parts for part in range(start // self._part_rows, last + 1))

        stop = 0
        for file in self._files:
            try:
                # Buffered page by page; otherwise a whole row group, often a whole file, is held.
                with pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False) as parquet:
                    for group in range(parquet.num_row_groups):
                        start, stop = stop, stop + parquet.metadata.row_group(group).num_rows
                        pieces = _pieces_of(parquet, group)
                        while start < stop and wanted(start, stop):
                            values = next(pieces).cast(self._type)
                            yield start, values
                            start += len(values)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{file}: not a readable Parquet file ({error})") from error

    def _check_places(self, rows: pa.Table, start: int) -> None:
        columns = [rows.column(n) for n in ("path", "image") if n in rows.column_names]
        empty = pc.is_null(columns[0])
        for column in columns[1:]:
            empty = pc.and_(empty, pc.is_null(column))
        row = pc.index(empty, True).as_py()
        if row >= 0:
            raise DataError(
                f"{self.dataset / 'images.parquet'}: row {start + row} (image_id "
                f"{rows.column('image_id')[row].as_py()!r}) has neither 'path' nor 'image'; "
                "remove the row or give it an image"
            )


def _pieces_of(parquet: pq.ParquetFile, group: int) -> Iterator[pa.Array]:
    if "image" not in parquet.schema_arrow.names:
        yield pa.nulls(parquet.metadata.row_group(group).num_rows)
        return
    for batch in parquet.iter_batches(BATCH, row_groups=[group], columns=["image"]):
        yield batch.column(0)


def _image_type(files: list[Path]) -> pa.DataType | None:
    """Type that column `image` of all files goes into; None: there is no such column."""
    schemas = [check_columns(file, ()) for file in files]
    fields = [schema.field("image") for schema in schemas if "image" in schema.names]
    if not fields:
        return None
    try:
        whole = pa.unify_schemas([pa.schema([f]) for f in fields], promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            f"{files[0].parent}: images part files do not fit together: {error}"
        ) from error
    return whole.field("image").type
