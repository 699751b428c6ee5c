"""Embeddings that are already there, as one memory-mapped matrix in the order of the nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap

from graphrise.data.files import whole_file
from graphrise.data.tables import check_columns, table_files
from graphrise.errors import DataError

pc: Any = pyarrow.compute  # its functions are made at import; type checkers see none

BATCH = 1 << 13
"""Vectors in memory at a time, beside the row group that is being read."""


@dataclass(frozen=True)
class _Batch:
    """Some embeddings as they stand in a file.

    Attributes:
        nodes: int64 `[n]`, the nodes they belong to.
        rows: int64 `[n]`, their row numbers in the file.
        values: `[n, D]`, or an Arrow array of n lists.
        where: File and column, for messages.
    """

    nodes: np.ndarray
    rows: np.ndarray
    values: np.ndarray | pa.Array
    where: str


def read_embeddings(
    dataset: Path, where: str, rows: np.ndarray, image_ids: pa.ChunkedArray, out: Path
) -> np.ndarray:
    """Write the embedding of every node to `out`, batch by batch.

    Args:
        dataset: Dataset folder.
        where: A column of images.parquet; or a path, relative to the dataset folder or else to
            the working directory: Parquet (a file, or a folder of parts) of `image_id` and
            `embedding`, in any order, or a .npy with a row for every row of images.parquet.
        rows: int64 `[N]`, rising: the row in images.parquet of every node.
        image_ids: Image of every node.
        out: .npy file to write.

    Returns:
        float32 `[N, D]`, memory-mapped, read-only.

    Raises:
        DataError: There is no such column or file, it is not made of floats, lengths differ, or a
            node has no embedding, two, or one with a null, NaN or infinity.
    """
    batches = _batches(dataset, where, rows, image_ids)
    with whole_file(out) as temporary:
        matrix: np.ndarray | None = None
        for batch in batches:
            if batch.nodes.size == 0:
                continue
            if matrix is None:
                shape = (rows.size, _width(batch, image_ids))
                matrix = open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
            matrix[batch.nodes] = _checked(batch, image_ids, matrix.shape[1])
        if matrix is None:
            raise DataError(f"{where}: holds no embedding of an image of the graph")
        del matrix  # closes the file
    return np.load(out, mmap_mode="r")


def _batches(
    dataset: Path, where: str, rows: np.ndarray, image_ids: pa.ChunkedArray
) -> Iterator[_Batch]:
    images = table_files(dataset, "images")
    columns = check_columns(images[0], []).names
    if where in columns:
        return _from_column(images, where, rows)
    path = next((p for p in (dataset / where, Path(where)) if p.exists()), None)
    if path is None:
        raise DataError(
            f"graph.knn.embeddings {where!r} is neither a column of {images[0]} (it has "
            f"{', '.join(columns)}) nor a file in {dataset} or the working directory"
        )
    if path.suffix == ".npy":
        return _from_npy(path, sum(pq.read_metadata(file).num_rows for file in images), rows)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: holds no .parquet file")
    return _from_table(path, files, image_ids)


def _from_column(files: list[Path], name: str, rows: np.ndarray) -> Iterator[_Batch]:
    first = 0
    for file in files:
        top = first
        for column in _read(file, name):
            start, stop = np.searchsorted(rows, (first, first + len(column)))
            nodes, some = np.arange(start, stop), rows[start:stop]
            values = column.take(pa.array(some - first))
            yield _Batch(nodes, some - top, values, f"{file}: column {name!r}")
            first += len(column)


def _from_table(path: Path, files: list[Path], image_ids: pa.ChunkedArray) -> Iterator[_Batch]:
    nodes = [_nodes_of(file, image_ids) for file in files]
    count = np.zeros(len(image_ids), dtype=np.int64)
    for some in nodes:
        count += np.bincount(some[some >= 0], minlength=count.size)
    for wrong, what in ((count > 1, "embedded more than once"), (count == 0, "without embedding")):
        if wrong.any():
            first = image_ids[int(wrong.argmax())].as_py()
            raise DataError(
                f"{path}: column 'image_id': {wrong.sum():,} of {count.size:,} images of the graph "
                f"{what}, first {first!r}"
            )
    for file, own in zip(files, nodes, strict=True):
        first = 0
        for column in _read(file, "embedding"):
            some = first + np.flatnonzero(own[first : first + len(column)] >= 0)
            values = column.take(pa.array(some - first))
            yield _Batch(own[some], some, values, f"{file}: column 'embedding'")
            first += len(column)


def _nodes_of(file: Path, image_ids: pa.ChunkedArray) -> np.ndarray:
    """Node of every row, int64; -1 where the graph lacks the image."""
    check_columns(file, ["image_id", "embedding"])
    ids = pa.chunked_array(list(_read(file, "image_id")), type=_type_of(file, "image_id"))
    if pa.types.is_integer(ids.type) != pa.types.is_integer(image_ids.type):
        raise DataError(
            f"{file}: column 'image_id' is {ids.type}, in images.parquet it is {image_ids.type}"
        )
    if ids.null_count:
        row = pc.index(pc.is_null(ids), True).as_py()
        raise DataError(f"{file}: column 'image_id', row {row}: is null")
    try:
        found = pc.index_in(ids, value_set=image_ids.combine_chunks())
    except pa.ArrowException as error:
        raise DataError(f"{file}: column 'image_id': {error}") from error
    return found.fill_null(-1).to_numpy().astype(np.int64)


def _from_npy(file: Path, expected: int, rows: np.ndarray) -> Iterator[_Batch]:
    try:
        matrix = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file}: not a readable .npy file ({error})") from error
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2:
        raise DataError(f"{file}: must hold one matrix [images, dimensions]")
    if matrix.dtype not in (np.float16, np.float32, np.float64):
        raise DataError(f"{file}: is {matrix.dtype}; it must be float16, float32 or float64")
    if len(matrix) != expected:
        raise DataError(
            f"{file}: has {len(matrix):,} rows, images.parquet has {expected:,}: it needs one for "
            "each, in the same order"
        )
    for start in range(0, rows.size, BATCH):
        some = rows[start : start + BATCH]
        yield _Batch(np.arange(start, start + some.size), some, matrix[some], str(file))


def _type_of(file: Path, name: str) -> pa.DataType:
    return check_columns(file, [name]).field(name).type


def _read(file: Path, name: str) -> Iterator[pa.Array]:
    kind = _type_of(file, name)
    if name != "image_id" and not _is_vector(kind):
        raise DataError(
            f"{file}: column {name!r} is {kind}; it must be a list of float16, float32 or float64"
        )
    try:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=BATCH, columns=[name]):
                yield batch.column(0)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: column {name!r} cannot be read ({error})") from error


def _is_vector(kind: pa.DataType) -> bool:
    of = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(kind) for is_kind in of) and pa.types.is_floating(kind.value_type)


def _width(batch: _Batch, image_ids: pa.ChunkedArray) -> int:
    """D, from the first embedding."""
    if isinstance(batch.values, np.ndarray):
        width = batch.values.shape[1]
    else:
        width = pc.list_value_length(batch.values)[0].as_py()
    if not width:
        raise _wrong(batch, 0, "is null" if width is None else "is empty", image_ids)
    return width


def _checked(batch: _Batch, image_ids: pa.ChunkedArray, width: int) -> np.ndarray:
    """float32 `[n, width]`."""
    values = batch.values
    if not isinstance(values, np.ndarray):
        values = _as_matrix(batch, values, image_ids, width)
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        what = "holds NaN, infinity or a value too large for float32"
        raise _wrong(batch, int(bad.argmax()), what, image_ids)
    return values


def _as_matrix(
    batch: _Batch, lists: pa.Array, image_ids: pa.ChunkedArray, width: int
) -> np.ndarray:
    if lists.null_count:
        raise _wrong(batch, pc.index(lists.is_null(), True).as_py(), "is null", image_ids)
    lengths = pc.list_value_length(lists).to_numpy()
    if (lengths != width).any():
        at = int((lengths != width).argmax())
        what = f"has {lengths[at]} values, the first embedding has {width}"
        raise _wrong(batch, at, what, image_ids)
    flat = lists.flatten()
    if flat.null_count:
        at = pc.index(flat.is_null(), True).as_py() // width
        raise _wrong(batch, at, "holds a null", image_ids)
    return flat.to_numpy(zero_copy_only=False).reshape(-1, width)


def _wrong(batch: _Batch, at: int, what: str, image_ids: pa.ChunkedArray) -> DataError:
    image_id = image_ids[int(batch.nodes[at])].as_py()
    return DataError(f"{batch.where}, row {batch.rows[at]} (image_id {image_id!r}): {what}")
