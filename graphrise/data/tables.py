"""The dataset folder: finding its Parquet tables and checking what every stage relies on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from graphrise.errors import ConfigError, DataError

pc: Any = pyarrow.compute  # its functions are made at import; type checkers see none

FEATURES = "features.npy"
"""Matrix beside images.parquet whose rows are the images where the table names no pictures."""


def table_files(folder: Path, name: str) -> list[Path]:
    """Part files of table `name`: `name.parquet`, or every `*.parquet` in a folder of that name.

    Raises:
        DataError: The dataset folder or the table is missing, or the table's folder is empty.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such dataset folder")
    path = folder / f"{name}.parquet"
    if path.is_file():
        return [path]
    parts_folder = path if path.is_dir() else folder / name
    if parts_folder.is_dir():
        parts = sorted(parts_folder.glob("*.parquet"))
        if parts:
            return parts
        raise DataError(f"{parts_folder}: holds no .parquet file")
    here = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    raise DataError(
        f"{folder}: table {name}.parquet is missing (a file, or a folder of part files); "
        f"the folder holds {', '.join(here) or 'nothing'}"
    )


def has_table(folder: Path, name: str) -> bool:
    """Whether the dataset has table `name`, as a file or as a folder (which may be empty)."""
    return (folder / f"{name}.parquet").exists() or (folder / name).is_dir()


def check_columns(file: Path, columns: Iterable[str]) -> pa.Schema:
    """Schema of `file`, after checking that it has `columns`.

    Raises:
        DataError: The file is not Parquet, or a column is missing.
    """
    try:
        schema = pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a readable Parquet file ({error})") from error
    for column in columns:
        if column not in schema.names:
            raise DataError(
                f"{file}: column {column!r} is missing; it has {', '.join(schema.names)}"
            )
    return schema


@dataclass(frozen=True)
class ImageTable:
    """images.parquet, checked: unique ids, a place for every image.

    Attributes:
        folder: Dataset folder; `path` values are relative to it.
        table: All rows and columns, in file order; a row's position is the image's row number.
    """

    folder: Path
    table: pa.Table

    def __len__(self) -> int:
        return self.table.num_rows

    @cached_property
    def ids(self) -> list[str | int]:
        """`image_id` of every row."""
        return self.table.column("image_id").to_pylist()

    def column(self, name: str) -> list:
        """Values of one column, in row order.

        Raises:
            DataError: No such column.
        """
        return self._chunked(name).to_pylist()

    def _chunked(self, name: str) -> pa.ChunkedArray:
        if name not in self.table.column_names:
            raise DataError(
                f"{self.folder / 'images.parquet'}: column {name!r} is missing; it has "
                f"{', '.join(self.table.column_names)}"
            )
        return self.table.column(name)

    def rows_in_splits(self, splits: Iterable[str]) -> np.ndarray:
        """Row numbers (int64, rising) of the images whose `split` is one of `splits`.

        Raises:
            DataError: No image is in any of them.
        """
        wanted = sorted(set(splits))
        split = self._chunked("split")
        held = pc.is_in(pc.cast(split, pa.string()), value_set=pa.array(wanted, pa.string()))
        rows = np.flatnonzero(held.to_numpy())
        if rows.size == 0:
            there = ", ".join(sorted(map(str, split.unique().to_pylist())))
            raise DataError(
                f"{self.folder / 'images.parquet'}: no image has split "
                f"{' or '.join(sorted(wanted))}; "
                f"the splits are {there or 'none'}"
            )
        return rows

    def select(self, where: str) -> np.ndarray:
        """Row numbers (int64, rising) of the images with `column=value`.

        Raises:
            ConfigError: `where` is not of that form.
            DataError: No such column, or no image has that value.
        """
        name, equals, value = where.partition("=")
        if not equals:
            raise ConfigError(f"image set {where!r} is not of the form column=value")
        values = self.column(name)
        rows = np.flatnonzero([str(v) == value for v in values])
        if rows.size == 0:
            some = sorted({str(v) for v in values})[:10]
            raise DataError(
                f"{self.folder / 'images.parquet'}: no image has {where}; values of {name!r}: "
                f"{', '.join(some)}"
            )
        return rows


def read_images(folder: Path, columns: Sequence[str] | None = None) -> ImageTable:
    """Read and check `images.parquet`.

    Args:
        folder: Dataset folder.
        columns: Columns to read, of those there are; None reads all. Only with `path` and `image`
            among them it is checked that every image has a place.

    Raises:
        DataError: A missing table or column, an empty table, a null or duplicate `image_id`, or a
            row with neither `path` nor `image`, unless no row is to have one and there is
            features.npy; names file, column, row and value.
    """
    files, placed = table_files(folder, "images"), False
    for file in files:
        here = {"path", "image"} & set(check_columns(file, ["image_id", "split"]).names)
        if not here and not (folder / FEATURES).is_file():
            raise DataError(
                f"{file}: needs a column 'path' or a column 'image' (encoded bytes), or "
                f"{FEATURES} beside it"
            )
        placed = placed or bool(here)
    try:
        table = pa.concat_tables(
            (_read(file, columns) for file in files), promote_options="permissive"
        )
    except pa.ArrowException as error:
        raise DataError(
            f"{files[0].parent}: images part files do not fit together: {error}"
        ) from error
    where = folder / "images.parquet"
    if table.num_rows == 0:
        raise DataError(f"{where}: holds no image")
    _check_ids(table, where)
    if placed and (columns is None or {"path", "image"} <= set(columns)):
        _check_places(table, where)
    return ImageTable(folder, table)


def _read(file: Path, columns: Sequence[str] | None) -> pa.Table:
    try:
        # Not read_table: for it a folder name like `split=train` is a column.
        parquet = pq.ParquetFile(file)
        if columns is not None:
            columns = [name for name in columns if name in parquet.schema_arrow.names]
        return parquet.read(columns)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a readable Parquet file ({error})") from error


def _check_ids(table: pa.Table, where: Path) -> None:
    column = table.column("image_id")
    kinds = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string)
    if not any(is_kind(column.type) for is_kind in kinds):
        raise DataError(f"{where}: column 'image_id' must be string or int64, it is {column.type}")
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise DataError(f"{where}: column 'image_id', row {row}: is null")
    counts = pc.value_counts(column.combine_chunks())
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        value = repeated[0]["values"].as_py()
        rows = np.flatnonzero(pc.equal(column, value).to_numpy())
        raise DataError(
            f"{where}: column 'image_id': {value!r} stands in rows {rows[0]} and {rows[1]}"
            + (f" ({len(repeated)} ids are repeated)" if len(repeated) > 1 else "")
            + "; ids must be unique"
        )


def _check_places(table: pa.Table, where: Path) -> None:
    empty = pa.array(np.ones(table.num_rows, dtype=bool))
    for name in ("path", "image"):
        if name in table.column_names:
            empty = pc.and_(empty, pc.is_null(table.column(name)))
    if pc.any(empty).as_py():
        row = pc.index(empty, True).as_py()
        image_id = table.column("image_id")[row].as_py()
        raise DataError(
            f"{where}: row {row} (image_id {image_id!r}) has neither 'path' nor 'image'; "
            "remove the row or give it an image"
        )
