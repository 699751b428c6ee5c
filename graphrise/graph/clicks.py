"""From a click log to edges and query labels: the SQL, run by DuckDB.

`log` has one row per image shown: session, query, node, clicks. A result list is one
(session, query).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from graphrise.config import GraphConfig
from graphrise.data.tables import check_columns
from graphrise.errors import DataError

if TYPE_CHECKING:
    import duckdb

READ = """
create table raw as
select session, query, image_id, cast(clicked as double) as clicks from read_parquet({files})
"""
KNOWN = """
create table log as
select session, query, node, clicks from raw join nodes using (image_id)
"""
CLICKED = """
create table clicked as
select query, node, sum(clicks) as clicks from log where clicks > 0 group by query, node
"""
CAPPED = """
create table capped as
select query, node, clicks from clicked
qualify row_number() over (partition by query order by clicks desc, node) <= {cap}
"""
# `::float`: threads sum in any order; equal weights must tie all the same, for top_k.
# A click vector's entry: log(1 + clicks) damps the head, ln(1 + N / df) is the query's idf.
VECTORS = """
create table vectors as
with idf as (
  select query, ln(1 + (select count(distinct node) from clicked) / count(*)) as idf
  from clicked group by query
)
select query, node, ln(1 + clicks) * idf as value,
  sqrt(sum((ln(1 + clicks) * idf) ** 2) over (partition by node)) as norm
from clicked join idf using (query)
"""
IDF_COSINE = """
create table pairs as
with v as (
  select query, node, value / norm as value from vectors semi join capped using (query, node)
)
select a.node as source, b.node as target, least(sum(a.value * b.value), 1.0)::float as weight
from v a join v b on a.query = b.query and a.node < b.node
group by a.node, b.node
"""
# The paper's rate (US 11,586,927, claims 2-3): both clicked / both shown in one result list.
COCLICK_RATE = """
create table pairs as
with shown as (
  select session, query, node, max(clicks) > 0 as clicked
  from log semi join capped using (query, node) group by session, query, node
), coclicked as (
  select a.node as source, b.node as target, count(*) as both_clicked
  from (select * from shown where clicked) a join (select * from shown where clicked) b
    on a.session = b.session and a.query = b.query and a.node < b.node
  group by a.node, b.node having count(*) >= {support}
), together as (
  select c.source, c.target, count(*) as both_shown
  from coclicked c join shown a on a.node = c.source
    join shown b on b.node = c.target and b.session = a.session and b.query = a.query
  group by c.source, c.target
)
select source, target, both_clicked / both_shown as weight
from coclicked join together using (source, target)
"""
TOP_K = """
with directed as (
  select source, target, weight from pairs union all select target, source, weight from pairs
), ranked as (
  select source, target, weight,
    row_number() over (partition by source order by weight desc, target) <= {top_k} as kept
  from directed
), either as (
  select least(source, target) as a, greatest(source, target) as b, max(weight) as weight
  from ranked where kept group by a, b
)
select a as source, b as target, weight from either
union all select b, a, weight from either order by source, target
"""
QUERY_LABELS = """
with total as (select node, sum(clicks) as total from clicked group by node),
vocabulary as (
  select query, row_number() over (order by sum(clicks) desc, query) - 1 as label,
    ln(1 + (select count(distinct node) from clicked) / count(*)) as idf
  from clicked group by query
)
select node, label, clicks / total * {factor} as weight
from clicked join total using (node) join vocabulary using (query) order by node, label
"""
VOCABULARY = """
select query from clicked group by query order by sum(clicks) desc, query
"""


def load_log(
    con: duckdb.DuckDBPyConnection,
    files: list[Path],
    nodes: pa.Table,
    images: pa.Table,
    config: GraphConfig,
) -> dict[str, int]:
    """Check the impressions and make the tables `log`, `clicked` and `capped` from them.

    Rows of images outside the graph's splits are left out and counted, so that held-out images
    cannot leak; so are rows of unknown images with `on_unknown_image="drop"`.

    Args:
        con: A fresh DuckDB connection.
        files: Part files of impressions.parquet.
        nodes: Columns `image_id`, `node`.
        images: Column `image_id` of every image known.
        config: Splits, cap, and what to do with unknown images.

    Returns:
        Counts: impressions, clicks, rows left out by reason, pairs of (query, image) cut.

    Raises:
        DataError: A missing column; null, negative or non-finite values; an unknown image.
    """
    con.register("nodes_in", nodes)
    con.register("images_in", images)
    con.execute("create table nodes as select * from nodes_in")
    unknown = _read(con, files, config)
    con.execute(KNOWN)
    con.execute(CLICKED)
    con.execute(CAPPED.format(cap=config.images_per_query))

    def count(sql: str) -> int:
        return int(con.execute(sql).fetchall()[0][0] or 0)

    raw, log = count("select count(*) from raw"), count("select count(*) from log")
    return {
        "impressions": log,
        "clicks": count("select sum(clicks) from log"),
        "impressions_of_other_splits": raw - log - unknown,
        "impressions_of_unknown_images": unknown,
        "clicked_pairs_over_cap": count("select count(*) from clicked")
        - count("select count(*) from capped"),
    }


def _read(con: duckdb.DuckDBPyConnection, files: list[Path], config: GraphConfig) -> int:
    """Make the table `raw` and check it; gives the number of rows of unknown images."""
    import duckdb

    _check_parts(files)
    where = files[0] if len(files) == 1 else files[0].parent
    names = "[" + ", ".join("'" + str(f).replace("'", "''") + "'" for f in files) + "]"
    try:
        con.execute(READ.format(files=names))
        _check_values(con, where)
        return _check_images(con, where, config)
    except duckdb.ConversionException as error:
        raise DataError(
            f"{where}: column 'clicked' must be boolean or a count: {_first_line(error)}"
        ) from error
    except duckdb.Error as error:
        raise DataError(
            f"{where}: the log cannot be read: {_first_line(error)}; is a file damaged, or do "
            "part files differ in their columns' types?"
        ) from error


def _check_parts(files: list[Path]) -> None:
    """Columns of every part file; DuckDB would turn ids of two types into text without a word."""
    seen: dict[str, Path] = {}
    for file in files:
        schema = check_columns(file, ["session", "query", "image_id", "clicked"])
        kind = schema.field("image_id").type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        name = "text" if text else "integer" if pa.types.is_integer(kind) else str(kind)
        if not pa.types.is_null(kind):
            seen.setdefault(name, file)
    if len(seen) > 1:
        (first, in_first), (second, in_second) = list(seen.items())[:2]
        raise DataError(
            f"{in_second}: column 'image_id' is {second}, in {in_first.name} it is {first}; make "
            "them one type"
        )


def _first_line(error: Exception) -> str:
    """What DuckDB says, without the query text it quotes."""
    return str(error).splitlines()[0]


def _check_values(con: duckdb.DuckDBPyConnection, where: Path) -> None:
    checks = {
        "session": "session is null",
        "query": "query is null",
        "image_id": "image_id is null",
        "clicked": "clicks is null or clicks < 0 or isnan(clicks) or isinf(clicks)",
    }
    for column, wrong in checks.items():
        value = "clicks" if column == "clicked" else column
        sql = f"select rowid, {value}, image_id from raw where {wrong} order by rowid limit 1"
        found = con.execute(sql).fetchall()
        if found:
            row, bad, image_id = found[0]
            shown = "null" if bad is None else bad
            need = (
                "must be a finite count of at least 0" if column == "clicked" else "is not allowed"
            )
            raise DataError(
                f"{where}: column {column!r}, row {row} "
                f"(image_id {image_id!r}): {shown} {need}; correct the row or remove it"
            )


def _check_images(con: duckdb.DuckDBPyConnection, where: Path, config: GraphConfig) -> int:
    same = con.execute("select typeof(image_id) from raw limit 1").fetchall()
    known = con.execute("select typeof(image_id) from images_in limit 1").fetchall()
    if same and (same[0][0] == "VARCHAR") != (known[0][0] == "VARCHAR"):
        raise DataError(
            f"{where.parent}: image_id is {same[0][0]} in {where.name} and {known[0][0]} in "
            "images.parquet; make them one type"
        )
    unknown = "from raw anti join images_in using (image_id)"
    total = con.execute(f"select count(*) {unknown}").fetchall()[0][0]
    if total and config.on_unknown_image == "error":
        sql = f"select rowid, image_id {unknown} order by rowid limit 1"
        row, image_id = con.execute(sql).fetchall()[0]
        raise DataError(
            f"{where}: column 'image_id', row {row}: {image_id!r} is not "
            f"in images.parquet ({total} such rows); "
            "give --graph.on_unknown_image drop to leave them out"
        )
    return total


def edges(con: duckdb.DuckDBPyConnection, config: GraphConfig) -> tuple[np.ndarray, ...]:
    """Both directions of every kept edge, sorted by (source, target).

    Returns:
        `source` int64 `[E]`, `target` int64 `[E]`, `weight` float32 `[E]`.
    """
    if config.weighting == "idf_cosine":
        con.execute(VECTORS)
        con.execute(IDF_COSINE)
    else:
        con.execute(COCLICK_RATE.format(support=config.min_coclicks))
    found: dict[str, Any] = con.execute(TOP_K.format(top_k=config.top_k)).fetchnumpy()
    return (
        found["source"].astype(np.int64),
        found["target"].astype(np.int64),
        found["weight"].astype(np.float32),
    )


def query_labels(
    con: duckdb.DuckDBPyConnection, config: GraphConfig
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], list[str]]:
    """Clicked queries as labels.

    Returns:
        Entries `node` int64, `label` int64, `weight` float64, and the vocabulary by falling clicks.
    """
    factor = "1" if config.query_weighting == "share" else "idf"
    found: dict[str, Any] = con.execute(QUERY_LABELS.format(factor=factor)).fetchnumpy()
    entries = (
        found["node"].astype(np.int64),
        found["label"].astype(np.int64),
        found["weight"].astype(np.float64),
    )
    return entries, [row[0] for row in con.execute(VOCABULARY).fetchall()]
