"""Queries as soft labels, and the `label` column as one-hot ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from graphrise.config import QueryConfig
from graphrise.graph.engine.base import Engine
from graphrise.graph.ragged import Ragged, from_entries

pc: Any = pyarrow.compute  # its functions are made at import; type checkers see none

# A score is a whole number, so that its sums do not depend on the order of rows or the engine.
_SCORES = """
select node, term, clicks, score from (
  select node, term, clicks, score,
    row_number() over (partition by node order by score desc, term) as place
  from (
    select c.node, c.term, c.clicks, c.clicks * {factor} as score
    from clicked c join terms t on c.term = t.term
    where c.clicks >= {min_pair_clicks} and t.clicks >= {min_clicks}
  )
) where place <= {per_image}
"""
_IDF = "cast(floor(ln(1 + cast({clicked} as double) / t.images) * 1048576) as bigint)"
_VOCABULARY = """
select term, row_number() over (order by clicks desc, term) - 1 as label from (
  select term, sum(clicks) as clicks from scores group by term
)
"""
_ENTRIES = """
select s.node, v.label, cast(
    cast(s.score as double) / cast(sum(s.score) over (partition by s.node) as double) as float
  ) as weight
from scores s join vocabulary v on s.term = v.term order by s.node, v.label
"""
_WORDS = """
select t.query from vocabulary v join terms t on v.term = t.term order by v.label
"""
_EVERY = 2**62


def query_labels(engine: Engine, config: QueryConfig) -> tuple[list[Path], list[Path]]:
    """Clicked queries as labels, from `clicked` and `terms`.

    Returns:
        Parquet parts of entries (node, label, weight; sorted by node and label, weights of a node
        summing to 1) and of the vocabulary (query; falling clicks, then the query).
    """
    (clicked,) = engine.row("select count(distinct node) from clicked")
    engine.make(
        "scores",
        _SCORES.format(
            factor="1" if config.weighting == "share" else _IDF.format(clicked=clicked),
            min_clicks=config.min_clicks,
            min_pair_clicks=config.min_pair_clicks,
            per_image=config.per_image or _EVERY,
        ),
    )
    engine.make("vocabulary", _VOCABULARY)
    entries = engine.export("labels", _ENTRIES)
    words = engine.export("words", _WORDS)
    engine.drop("scores", "vocabulary")
    return entries, words


def given_labels(labels: pa.ChunkedArray) -> tuple[Ragged, pa.Array] | None:
    """One-hot labels from the `label` column.

    Args:
        labels: Of the N nodes, null = none.

    Returns:
        Labels and vocabulary (falling frequency, then the word); None if no node has one.
    """
    labels = pc.cast(labels, pa.string()).combine_chunks()
    found = pc.value_counts(labels.drop_null())
    if len(found) == 0:
        return None
    table = pa.table({"word": found.field("values"), "count": found.field("counts")})
    words = table.sort_by([("count", "descending"), ("word", "ascending")])["word"]
    number = pc.index_in(labels, value_set=words.combine_chunks())
    node = np.flatnonzero(pc.is_valid(number).to_numpy(zero_copy_only=False))
    label = number.drop_null().to_numpy().astype(np.int64)
    ragged = from_entries(node, label, np.ones(node.size), len(labels))
    return ragged, words.combine_chunks()
