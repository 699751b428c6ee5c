"""Triplets in a file: judged by people, or drawn by `graphrise triplets`."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq

from graphrise.data.files import whole_file
from graphrise.data.tables import ImageTable, check_columns
from graphrise.errors import DataError
from graphrise.evaluate.triplets import Triplets

pc: Any = pyarrow.compute  # its functions are made at import; type checkers see none

COLUMNS = ("anchor", "positive", "negative")


def read_triplets(where: str | Path, images: ImageTable) -> Triplets:
    """Read triplets of image ids.

    Args:
        where: Path, relative to the dataset folder or else to the working directory: Parquet (a
            file, or a folder of part files) or `.csv` with a header line, of columns `anchor`,
            `positive`, `negative`; other columns are ignored.
        images: The dataset's images.

    Returns:
        Rows of `images`, in file order.

    Raises:
        DataError: There is no such file, a column is missing, there is no row, an id is null or
            not in images.parquet, an image stands twice in a triplet, or a triplet stands twice;
            names file, column, row (from 0, without the header) and value.
    """
    files = _files(where, images.folder)
    parts = [_rows(file, images) for file in files]
    rows = np.concatenate(parts)
    if len(rows) == 0:
        raise DataError(f"{files[0]}: holds no triplet")
    _check_repeats(files, parts, images)
    return Triplets(rows[:, 0], rows[:, 1], rows[:, 2], skipped=0)


def write_triplets(file: Path, triplets: Triplets, images: ImageTable) -> None:
    """Write triplets of rows of `images` as Parquet of image ids, whole or not at all."""
    ids = images.table.column("image_id")
    rows = (triplets.anchor, triplets.positive, triplets.negative)
    table = pa.table({name: ids.take(pa.array(of)) for name, of in zip(COLUMNS, rows, strict=True)})
    with whole_file(file) as temporary:
        pq.write_table(table, temporary)


def _files(where: str | Path, dataset: Path) -> list[Path]:
    path = dataset / where
    if not path.exists():
        path = Path(where)
    if not path.exists():
        raise DataError(
            f"{where}: no such triplets file, neither in {dataset} nor in the working directory"
        )
    if path.is_file():
        return [path]
    parts = sorted(path.glob("*.parquet"))
    if not parts:
        raise DataError(f"{path}: holds no .parquet file")
    return parts


def _rows(file: Path, images: ImageTable) -> np.ndarray:
    """Rows of `images` of a part file, int64 `[T, 3]`."""
    ids = images.table.column("image_id").combine_chunks()
    if file.suffix == ".csv":
        table, ids = _csv(file), pc.cast(ids, pa.string())
    else:
        table = _parquet(file, ids.type)
    rows = np.empty((table.num_rows, 3), dtype=np.int64)
    for place, name in enumerate(COLUMNS):
        values = pc.cast(table.column(name), ids.type)
        found = pc.index_in(values, value_set=ids, skip_nulls=True)
        if found.null_count:
            row = pc.index(pc.is_null(found), True).as_py()
            value = values[row].as_py()
            why = "is null" if value is None else f"{value!r} is not in images.parquet"
            raise DataError(f"{file}: column {name!r}, row {row}: {why}; correct or remove the row")
        rows[:, place] = found.to_numpy()
    for one, other in combinations(range(3), 2):
        same = rows[:, one] == rows[:, other]
        if same.any():
            row = int(same.argmax())
            raise DataError(
                f"{file}: columns {COLUMNS[one]!r} and {COLUMNS[other]!r}, row {row}: both are "
                f"{images.ids[rows[row, one]]!r}; a triplet needs three images"
            )
    return rows


def _csv(file: Path) -> pa.Table:
    # As text: an id such as 007 must stay what it is.
    as_text = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(COLUMNS, pa.string()), strings_can_be_null=False
    )
    try:
        table = pyarrow.csv.read_csv(file, convert_options=as_text)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a readable CSV file ({error})") from error
    for name in COLUMNS:
        if name not in table.column_names:
            raise DataError(
                f"{file}: column {name!r} is missing; it has {', '.join(table.column_names)}"
            )
    return table


def _parquet(file: Path, id_type: pa.DataType) -> pa.Table:
    schema = check_columns(file, COLUMNS)
    try:
        table = pq.ParquetFile(file).read(list(COLUMNS))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a readable Parquet file ({error})") from error
    for name in COLUMNS if table.num_rows else ():  # types without rows are left to chance
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_integer(kind) != pa.types.is_integer(id_type):
            raise DataError(
                f"{file}: column {name!r} is {kind} and image_id of images.parquet is {id_type}; "
                "make them one type"
            )
    return table


def _check_repeats(files: list[Path], parts: list[np.ndarray], images: ImageTable) -> None:
    rows = np.concatenate(parts)
    order = np.lexsort(rows.T)  # stable: of equal triplets the first stays first
    same = (rows[order[1:]] == rows[order[:-1]]).all(axis=1)
    if not same.any():
        return
    again = int(order[1:][same].min())
    first = int((rows == rows[again]).all(axis=1).argmax())
    starts = np.cumsum([0, *map(len, parts)])
    (file, row), (earlier, before) = (
        (files[part], at - int(starts[part]))
        for at in (again, first)
        for part in [int(np.searchsorted(starts, at, side="right")) - 1]
    )
    triplet = ", ".join(f"{n} {images.ids[r]!r}" for n, r in zip(COLUMNS, rows[again], strict=True))
    where = f"row {before}" + ("" if file == earlier else f" of {earlier}")
    raise DataError(
        f"{file}: row {row} ({triplet}) stands in {where} already; a triplet must stand once"
    )
