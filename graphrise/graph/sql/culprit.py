"""Where a log table is wrong: the file, row, column and value, found by reading it once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from graphrise.errors import DataError

pc: Any = pyarrow.compute  # its functions are made at import; type checkers see none

LARGEST_COUNT = 1e12
"""Sums of a million such counts are still exact."""

_NEED = {
    "id": "must not be null",
    "text": "must not be null",
    "count": f"must be a whole number from 0 to {LARGEST_COUNT:.0e}",
    "weight": "must be finite and above 0",
}


@dataclass(frozen=True)
class Column:
    """What a column of a log table must hold.

    Attributes:
        name: Column.
        role: `id` of an image, `text` (anything but null), `count` (a whole number of at least
            0, or true and false), `weight` (finite, above 0), `name` (text or null).
        optional: Whether the table may lack it.
    """

    name: str
    role: Literal["id", "text", "count", "weight", "name"]
    optional: bool = False


def read_batches(files: Sequence[Path], columns: list[str]) -> Iterator[tuple[Path, int, pa.Table]]:
    """Every batch of every part with its first row's number in its file."""
    for file in files:
        row = 0
        try:
            for batch in pq.ParquetFile(file).iter_batches(columns=columns):
                yield file, row, pa.table(batch)
                row += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{file}: damaged at row {row} or after ({first_line(error)}); write it again"
            ) from error


def first_line(error: Exception) -> str:
    """What an engine says, without the query text it quotes."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def culprit(
    files: Sequence[Path], columns: Sequence[Column], ids: pa.ChunkedArray | None, unknown: int
) -> DataError:
    """The first wrong row, in the words of its column; `ids` None: unknown images are allowed."""
    names = [c.name for c in columns]
    for file, first, batch in read_batches(files, names):
        found = [(*_first_wrong(batch, c, ids), c) for c in columns]
        if {"clicks", "impressions"} <= set(names):
            counts = [pc.cast(batch[name], pa.float64()) for name in ("clicks", "impressions")]
            more = pc.greater(*counts)
            at = pc.index(more, True).as_py()
            found.append((at, "more clicks than impressions", Column("clicks", "count")))
        found = [f for f in found if f[0] >= 0]
        if found:
            row, reason, column = min(found, key=lambda f: f[0])
            value = batch[column.name][row].as_py()
            shown = "null" if value is None else repr(value)
            place = f"row {first + row}"
            if "image_id" in names and column.name != "image_id":
                place += f" (image_id {batch['image_id'][row].as_py()!r})"
            if reason.startswith("is not in"):
                reason += f" ({unknown:,} such rows); give --graph.on_unknown_image drop to leave "
                reason += "them out"
            return DataError(f"{file}: column {column.name!r}, {place}: {shown} {reason}")
    return DataError(f"{files[0].parent}: changed while it was read; start again")


def _first_wrong(batch: pa.Table, column: Column, ids: pa.ChunkedArray | None) -> tuple[int, str]:
    values = batch[column.name]
    if column.role == "name":
        return -1, ""
    wrong = pc.is_null(values)
    if column.role in ("count", "weight"):
        number = pc.cast(values, pa.float64())
        if column.role == "count":
            whole = pc.and_(pc.equal(pc.floor(number), number), pc.greater_equal(number, 0))
            good = pc.and_(whole, pc.less_equal(number, LARGEST_COUNT))
        else:
            good = pc.and_(pc.greater(number, 0), pc.is_finite(number))
        wrong = pc.or_(wrong, pc.invert(pc.fill_null(good, False)))
    at = pc.index(wrong, True).as_py()
    if at < 0 and column.role == "id" and ids is not None:
        known = pc.is_in(pc.cast(values, ids.type), value_set=ids.combine_chunks())
        return pc.index(known, False).as_py(), "is not in images.parquet"
    return at, f"{_NEED[column.role]}; correct the row or remove it"
