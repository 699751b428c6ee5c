"""The graph's edges as a CSV, TSV or Parquet file, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq

from graphrise.data.files import whole_file
from graphrise.errors import DataError
from graphrise.graph.convert.from_edges import (
    Symmetric,
    checked_ids,
    graph_from_edges,
    kind_bits,
    kind_names,
)
from graphrise.graph.draws import row_blocks
from graphrise.graph.names import Names
from graphrise.graph.store import Graph, as_column

# Made at import or compiled: type checkers see nothing of them.
pc: Any = pyarrow.compute
csv: Any = pyarrow.csv

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_TEXT = pa.large_string()  # ids of 100 million images exceed 2 GB


def write_edge_list(graph: Graph, path: Path) -> None:
    """Write the edges, whole or not at all; a file that is there is replaced.

    Columns are `source` and `target` (image ids), `weight` and `kind` (names joined by `+`). Each
    edge is one row, with the image first that is first in the graph; rows are sorted likewise.
    Edges are read and written in blocks, so the graph may be larger than memory. Images without
    edges and labels are not in an edge list.

    Args:
        graph: The graph.
        path: `.csv`, `.tsv` or `.parquet` (decides the format).

    Raises:
        DataError: Another suffix, or a kind's name has a `+`.
    """
    suffix = _suffix(path)
    for name in graph.kinds:
        if "+" in name:
            raise DataError(f"kind {name!r} has a '+', which joins names in the file; rename it")
    ids = as_column(graph.image_ids)
    schema = pa.schema(
        [("source", ids.type), ("target", ids.type), ("weight", pa.float32()), ("kind", _TEXT)]
    )
    with whole_file(path) as temporary:
        if suffix == ".parquet":
            writer = pq.ParquetWriter(temporary, schema)
        else:
            options = csv.WriteOptions(delimiter=_DELIMITERS[suffix])
            writer = csv.CSVWriter(str(temporary), schema, write_options=options)
        with writer:
            for columns in _blocks(graph, ids):
                writer.write_table(pa.table(columns, schema=schema))


def _blocks(graph: Graph, ids: pa.ChunkedArray) -> Iterator[list[Any]]:
    names = pa.array(["+".join(kind_names(bits, graph.kinds)) for bits in range(256)], type=_TEXT)
    for first, last in row_blocks(graph.rowptr):
        begin, end = int(graph.rowptr[first]), int(graph.rowptr[last])
        row = np.repeat(np.arange(first, last), np.diff(graph.rowptr[first : last + 1]))
        col = graph.col[begin:end]
        once = np.flatnonzero(row < col)
        yield [
            ids.take(pa.array(row[once])),
            ids.take(pa.array(col[once])),
            pa.array(graph.weight[begin:end][once]),
            names.take(pa.array(graph.kind[begin:end][once])),
        ]


def read_edge_list(
    path: Path,
    *,
    image_ids: Sequence[str | int] | None = None,
    symmetric: Symmetric = "max",
) -> Graph:
    """Read a graph from an edge list.

    The file has a header with `source` and `target`, and may have `weight` (without it every edge
    weighs 1) and `kind` (names joined by `+`; none is `given`; besides `store.KINDS` at most four
    of its own); other columns are ignored. A `.tsv` whose first line has three fields, the last a
    number, has no header: it is source, target, weight, as Neural Structured Learning writes it.
    The whole file is read into memory.

    Image ids of a text file are whole numbers if every one is written as Python writes a whole
    number, else strings; of a Parquet file, what its columns are.

    Args:
        path: `.csv` (commas), `.tsv` (tabs) or `.parquet`.
        image_ids: Images of the graph, in this order; gives back images without edges. None: the
            images with an edge, sorted.
        symmetric: One weight of the two directions', as in `graph_from_edges`; for a file that
            holds each edge once, `max`.

    Returns:
        The graph, without labels.

    Raises:
        DataError: No such file, another suffix, not readable, a column is missing, or a value is
            wrong; names file, line or row, column and value.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    rows = _read_parquet(path) if _suffix(path) == ".parquet" else _read_text(path)
    ends = [_ends(rows, name) for name in ("source", "target")]
    if ends[0].type != ends[1].type:
        raise DataError(f"{path}: source is {ends[0].type} and target {ends[1].type}")
    if image_ids is None:
        known = pc.unique(pa.chunked_array([*ends[0].chunks, *ends[1].chunks], type=ends[0].type))
        image_ids, known = _sorted_ids(known, text=rows.first_line is not None)
    else:
        known = checked_ids(image_ids)
        if known.type != ends[0].type:
            known, ends = known.cast(_TEXT), [column.cast(_TEXT) for column in ends]
    source, target = _nodes(rows, "source", ends[0], known), _nodes(rows, "target", ends[1], known)
    weight = _weights(rows)
    kind, kinds = _kinds(rows)
    return graph_from_edges(
        source, target, weight, kind, image_ids=image_ids, kinds=kinds, symmetric=symmetric
    )


@dataclass(frozen=True)
class _Rows:
    """The rows of a file. `first_line`: line of the first in a text file; None: Parquet."""

    path: Path
    table: pa.Table
    first_line: int | None = None

    def error(self, row: int, column: str, why: str) -> DataError:
        """What is wrong with a value."""
        place = f"row {row}" if self.first_line is None else f"line {row + self.first_line}"
        value = self.table.column(column)[row].as_py()
        return DataError(f"{self.path}: {place}, column {column!r}: {value!r} {why}")


def _suffix(path: Path) -> str:
    if path.suffix not in (*_DELIMITERS, ".parquet"):
        raise DataError(f"{path}: an edge list is a .csv, .tsv or .parquet file")
    return path.suffix


def _wanted(path: Path, there: Sequence[str]) -> list[str]:
    """Columns to read."""
    for name in ("source", "target"):
        if name not in there:
            raise DataError(f"{path}: column {name!r} is missing; it has {', '.join(there)}")
    return [name for name in ("source", "target", "weight", "kind") if name in there]


def _read_parquet(path: Path) -> _Rows:
    try:
        file = pq.ParquetFile(path)
        return _Rows(path, file.read(columns=_wanted(path, file.schema_arrow.names)))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error


def _read_text(path: Path) -> _Rows:
    """All columns as text: numbers are read later, where a wrong one can be named."""
    delimiter = _DELIMITERS[path.suffix]
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline().rstrip("\r\n").split(delimiter)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error})") from error
    bare = delimiter == "\t" and len(first) == 3 and _is_number(first[2])
    names = ["source", "target", "weight"]
    if not bare:
        names = _wanted(path, [field.strip('"') for field in first])
    try:
        table = csv.read_csv(
            path,
            # One thread: only then does an error name its line.
            read_options=csv.ReadOptions(use_threads=False, column_names=names if bare else None),
            parse_options=csv.ParseOptions(
                delimiter=delimiter,
                # Without a header nobody wrote quotes: a quote is part of the id.
                quote_char=False if bare else '"',
                newlines_in_values=not bare,
            ),
            convert_options=csv.ConvertOptions(
                include_columns=names, column_types=dict.fromkeys(names, _TEXT)
            ),
        )
    except pa.ArrowException as error:
        raise DataError(f"{path}: not readable ({error})") from error
    return _Rows(path, table, first_line=1 if bare else 2)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _ends(rows: _Rows, name: str) -> pa.ChunkedArray:
    """A column of image ids, int64 or text."""
    column = rows.table.column(name)
    missing = pc.is_null(column)
    if pa.types.is_integer(column.type):
        column = column.cast(pa.int64())
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(_TEXT)
        missing = pc.or_(missing, pc.equal(pc.fill_null(column, ""), ""))
    else:
        raise DataError(
            f"{rows.path}: column {name!r} must be string or int64, it is {column.type}"
        )
    row = pc.index(missing, True).as_py()
    if row >= 0:
        raise rows.error(row, name, "is no image id")
    return column


def _sorted_ids(found: pa.Array, *, text: bool) -> tuple[Names, pa.Array]:
    """Sorted ids for the graph, and the same as the file has them."""
    ids = found
    if text:
        try:
            numbers = found.cast(pa.int64())
        except pa.ArrowInvalid:
            pass
        else:
            ids = numbers if numbers.cast(_TEXT).equals(found) else found
    order = pc.sort_indices(ids)
    return Names(pa.chunked_array([ids.take(order)])), found.take(order)


def _nodes(rows: _Rows, name: str, column: pa.ChunkedArray, known: Any) -> np.ndarray:
    """Node of each image id."""
    nodes = pc.index_in(column, value_set=known)
    row = pc.index(pc.is_null(nodes), True).as_py()
    if row >= 0:
        raise rows.error(row, name, "is not among the image_ids given")
    return nodes.to_numpy()


def _weights(rows: _Rows) -> np.ndarray | None:
    """Weights, float32, checked."""
    if "weight" not in rows.table.column_names:
        return None
    column, row = rows.table.column("weight"), 0
    parts = [np.empty(0, dtype=np.float32)]
    for chunk in column.chunks:
        try:
            part = chunk.cast(pa.float32(), safe=False)
        except pa.ArrowException as error:
            row += next(i for i in range(len(chunk)) if not _casts(chunk[i]))
            raise rows.error(row, "weight", "is not a number") from error
        numbers = part.to_numpy(zero_copy_only=False)
        wrong = ~(np.isfinite(numbers) & (numbers > 0))
        if wrong.any():
            raise rows.error(row + int(wrong.argmax()), "weight", "is not finite and above 0")
        parts.append(numbers)
        row += len(chunk)
    return np.concatenate(parts)


def _casts(value: pa.Scalar) -> bool:
    try:
        value.cast(pa.float32(), safe=False)
    except pa.ArrowException:
        return False
    return True


def _kinds(rows: _Rows) -> tuple[np.ndarray | None, dict[str, int] | None]:
    """Kind of each edge, and the bits of kinds."""
    if "kind" not in rows.table.column_names:
        return None, None
    column = rows.table.column("kind")
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise DataError(f"{rows.path}: column 'kind' must be string, it is {column.type}")
    written = pc.unique(column)
    names = [value.split("+") if value else [] for value in written.to_pylist()]
    for value, of in zip(written, names, strict=True):
        if "" in of:
            raise rows.error(pc.index(column, value).as_py(), "kind", "has an empty name")
    try:
        kinds = kind_bits({name for of in names for name in of})
    except DataError as error:
        raise DataError(f"{rows.path}: column 'kind': {error}") from error
    bits = np.array([sum(kinds[name] for name in set(of)) for of in names], dtype=np.uint8)
    return bits[pc.index_in(column, value_set=written).to_numpy()], kinds
