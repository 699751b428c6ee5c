"""Clicks by query and image: one spelling a query, and a number for every query."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from graphrise.graph.engine.base import Engine

_CLICKS_OF = {
    "impressions": """
select cast(t.query as string) as query, i.node,
  cast(cast(t.clicked as double) as bigint) as clicks
from impressions t join images i on t.image_id = i.image_id
where i.node is not null and cast(t.clicked as double) > 0""",
    "clicks": """
select cast(t.query as string) as query, i.node,
  cast(cast(t.clicks as double) as bigint) as clicks
from clicks t join images i on t.image_id = i.image_id
where i.node is not null and cast(t.clicks as double) > 0""",
}
_RAW = """
select query, node, cast(sum(clicks) as bigint) as clicks from ({rows}) group by query, node
"""
_SPELT = """
select s.spelling as query, r.node, cast(sum(r.clicks) as bigint) as clicks
from raw_clicks r join spellings s on r.query = s.query
where s.spelling <> '' group by s.spelling, r.node
"""
_BLANK = """
select coalesce(sum(r.clicks), 0) from raw_clicks r join spellings s on r.query = s.query
where s.spelling = ''
"""
# Numbered by falling clicks, so that a term says nothing about the order of the rows.
_TERMS = """
select query, row_number() over (order by clicks desc, query) - 1 as term, clicks, images
from (
  select query, cast(sum(clicks) as bigint) as clicks, count(*) as images
  from spelt_clicks group by query
)
"""
_CLICKED = """
select t.term, c.node, c.clicks from spelt_clicks c join terms t on c.query = t.query
"""


def normalize_query(text: str) -> str:
    """One spelling: Unicode NFKC, case folded, runs of white space one space, none at the ends.

    Idempotent: NFKC again after folding, as Unicode's NFKC_Casefold does.
    """
    if text.isascii():
        text = text.lower()
    else:
        text = unicodedata.normalize("NFKC", text).casefold()
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.split())


def count_clicks(engine: Engine, tables: set[str], *, normalize: bool, all_shown: bool) -> int:
    """Make `spellings`, `terms` (query, term, clicks, images) and `clicked` (term, node, clicks).

    Args:
        engine: Has read `images` and the tables.
        tables: Which of impressions and clicks there are; their clicks are added up.
        normalize: Whether spellings of a query are made one.
        all_shown: Spell every query shown, not only the clicked ones.

    Returns:
        Clicks left out, as nothing but white space is their query.
    """
    rows = "\nunion all\n".join(_CLICKS_OF[name] for name in sorted(tables))
    engine.make("raw_clicks", _RAW.format(rows=rows))
    distinct = "select distinct query from raw_clicks"
    if all_shown:
        distinct = "select distinct cast(query as string) as query from impressions"
        if "clicks" in tables:
            distinct += " union select query from raw_clicks"
    if normalize:
        parts = engine.export("queries", distinct)
        folder = parts[0].parent if parts else Path()
        engine.read("spellings", _spell(parts, folder / "spellings"))
    else:
        engine.make("spellings", f"select query, query as spelling from ({distinct})")
    (blank,) = engine.row(_BLANK)
    engine.make("spelt_clicks", _SPELT)
    engine.drop("raw_clicks")
    engine.make("terms", _TERMS)
    engine.make("clicked", _CLICKED)
    engine.drop("spelt_clicks")
    return int(blank)


def _spell(parts: list[Path], stem: Path) -> list[Path]:
    """Parquet of query and spelling. In Python: neither engine has NFKC."""
    schema = pa.schema([("query", pa.string()), ("spelling", pa.string())])
    file = stem.with_suffix(".parquet")
    with pq.ParquetWriter(file, schema, compression="lz4") as writer:
        for queries in _columns(parts):
            spelt = [normalize_query(query) for query in queries.to_pylist()]
            writer.write_table(pa.table([queries, pa.array(spelt, pa.string())], schema=schema))
    return [file]


def _columns(parts: list[Path]) -> Iterator[pa.Array]:
    for part in parts:
        for batch in pq.ParquetFile(part).iter_batches(batch_size=1 << 18):
            yield batch.column(0)
