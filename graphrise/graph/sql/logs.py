"""The log tables: which columns they have, and one scan of SQL that checks every row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from graphrise.data.tables import check_columns, table_files
from graphrise.errors import DataError
from graphrise.graph.engine.base import Engine
from graphrise.graph.sql.culprit import LARGEST_COUNT, Column, culprit, first_line, read_batches

TABLES: dict[str, tuple[Column, ...]] = {
    "impressions": (
        Column("session", "text"),
        Column("query", "text"),
        Column("image_id", "id"),
        Column("clicked", "count"),
    ),
    "clicks": (
        Column("query", "text"),
        Column("image_id", "id"),
        Column("clicks", "count"),
        Column("impressions", "count", optional=True),
    ),
    "similar_clicks": (
        Column("image_id", "id"),
        Column("similar_image_id", "id"),
        Column("clicks", "count"),
        Column("impressions", "count", optional=True),
    ),
    "edges": (
        Column("source", "id"),
        Column("target", "id"),
        Column("weight", "weight"),
        Column("kind", "name", optional=True),
    ),
}
_WRONG = {
    "id": "{c} is null",
    "text": "{c} is null",
    "count": "{c} is null or not (cast({c} as double) >= 0 and "
    f"cast({{c}} as double) <= {LARGEST_COUNT:.0f} and cast({{c}} as double) % 1 = 0)",
    "weight": "{c} is null or not (cast({c} as double) > 0 and "
    "cast({c} as double) < cast('infinity' as double))",
    "name": "false",
}


@dataclass(frozen=True)
class LogTable:
    """A table of the dataset that an engine has read, its values checked.

    Attributes:
        name: Table, also in SQL.
        columns: Those it has.
        rows: How many.
        left_out: Rows with an image outside the graph's splits.
        unknown: Rows with an image that images.parquet lacks.
        self_pairs: Rows that pair an image with itself; they make no edge.
    """

    name: str
    columns: frozenset[str]
    rows: int
    left_out: int
    unknown: int
    self_pairs: int


def read_table(
    engine: Engine, dataset: Path, name: str, images: pa.Table, *, drop_unknown: bool
) -> LogTable:
    """Let an engine read a table, and check every row of it.

    Args:
        engine: Knows the table `images` (image_id, node; node null outside the splits).
        dataset: Dataset folder.
        name: Of `TABLES`.
        images: Column `image_id` of every image known.
        drop_unknown: Count rows of unknown images instead of refusing them.

    Raises:
        DataError: A missing column, a value that is null, negative or not finite, more clicks than
            impressions, an unknown image, a damaged file; names file, column, row and value.
    """
    files = table_files(dataset, name)
    columns = _check_schemas(files, name, images.schema.field("image_id").type)
    files = [file for file in files if pq.read_metadata(file).num_rows]
    try:
        if files:
            engine.read(name, files)
        else:  # whatever the types in a table without rows: they are often left to chance
            engine.make(name, _nothing(columns, images.schema.field("image_id").type))
        found = engine.row(_check(name, columns))
    except (DataError, KeyboardInterrupt):
        raise
    except Exception as error:
        # The engines' own messages for a damaged page name no file, or a Java class.
        for _ in read_batches(files, [c.name for c in columns]):
            pass
        raise DataError(f"{files[0].parent}: cannot be read: {first_line(error)}") from error
    rows, wrong, unknown, left_out, self_pairs = (int(x or 0) for x in found)
    if wrong or (unknown and not drop_unknown):
        ids = None if drop_unknown else images.column("image_id")
        raise culprit(files, columns, ids, unknown)
    names = frozenset(c.name for c in columns)
    return LogTable(name, names, rows, left_out, unknown, self_pairs)


def _check(name: str, columns: Sequence[Column]) -> str:
    """One scan: rows; those with a wrong value, unknown image, one of other splits, self pair."""
    ids = [c.name for c in columns if c.role == "id"]
    joins = " ".join(f"left join images i{n} on t.{c} = i{n}.image_id" for n, c in enumerate(ids))
    wrong = " or ".join(f"({_WRONG[c.role].format(c=f't.{c.name}')})" for c in columns)
    if {"clicks", "impressions"} <= {c.name for c in columns}:
        wrong += " or cast(t.clicks as double) > cast(t.impressions as double)"
    unknown = " or ".join(f"i{n}.image_id is null" for n in range(len(ids)))
    outside = " or ".join(f"i{n}.node is null" for n in range(len(ids)))
    same = f"t.{ids[0]} = t.{ids[1]}" if len(ids) == 2 else "false"
    return f"""
        select count(*), count(*) filter (where {wrong}), count(*) filter (where {unknown}),
          count(*) filter (where ({outside}) and not ({unknown})),
          count(*) filter (where {same} and not ({outside}))
        from {name} t {joins}
    """


def _nothing(columns: Sequence[Column], id_type: pa.DataType) -> str:
    types = {"id": "bigint" if _class_of(id_type) == "integer" else "string"}
    types |= {"text": "string", "name": "string", "count": "double", "weight": "double"}
    empty = ", ".join(f"cast(null as {types[c.role]}) as {c.name}" for c in columns)
    return f"select {empty} where 1 = 0"


def _check_schemas(files: Sequence[Path], name: str, id_type: pa.DataType) -> list[Column]:
    """Columns of every part; an engine would turn ids of two types into text without a word."""
    required = [c.name for c in TABLES[name] if not c.optional]
    schemas = {file: check_columns(file, required) for file in files}
    first = schemas[files[0]]
    columns = [c for c in TABLES[name] if c.name in first.names]
    for file, schema in schemas.items():
        for column in columns:
            if column.name not in schema.names:
                raise DataError(
                    f"{file}: column {column.name!r} is missing, {files[0].name} has it"
                )
            kind = _class_of(schema.field(column.name).type)
            allowed = {
                "id": {_class_of(id_type)},
                "text": {"text", "integer"},
                "count": {"boolean", "integer", "float"},
                "weight": {"integer", "float"},
                "name": {"text"},
            }[column.role]
            if kind not in allowed | {"null"} and pq.read_metadata(file).num_rows:
                raise DataError(_wrong_type(file, column, kind, allowed))
    for column in columns:
        kinds = {
            _class_of(s.field(column.name).type): f
            for f, s in schemas.items()
            if pq.read_metadata(f).num_rows
        }
        kinds.pop("null", None)
        if len(kinds) > 1:
            (one, _), (other, where) = sorted(kinds.items())[:2]
            raise DataError(
                f"{where}: column {column.name!r} is {other}, in other parts {one}; make them one "
                "type"
            )
    return columns


def _wrong_type(file: Path, column: Column, kind: str, allowed: Iterable[str]) -> str:
    if column.role == "id":
        return (
            f"{file}: column {column.name!r} is {kind} and image_id of images.parquet is "
            f"{' '.join(allowed)}; make them one type"
        )
    need = {"count": "boolean or a count", "weight": "a number", "name": "text"}
    need["text"] = "text or whole numbers"
    return f"{file}: column {column.name!r} must be {need[column.role]}, it is {kind}"


def _class_of(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    names = ("boolean", "integer", "floating", "null")
    for name in names:
        if getattr(pa.types, f"is_{name}")(kind):
            return "float" if name == "floating" else name
    return str(kind)
