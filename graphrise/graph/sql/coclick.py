"""Edges between images clicked for the same query: the self-join, in blocks, and top k at once.

Sums are of whole numbers: they do not depend on the order of rows, on blocks, or on the engine.
A weight is a whole number of units, too, which shares one integer with the other end: `prune.key`.
"""

from __future__ import annotations

from graphrise.config import CoclickConfig
from graphrise.graph.engine.base import Engine
from graphrise.graph.sql.prune import best_keys, key

_SIZES = "select node, count(*) as size from clicked group by node"
_ENTRIES = {
    # A click vector's entry: log(1 + clicks) damps the head, ln(1 + N / df) is the query's idf.
    "idf_cosine": """
select c.term, c.node, c.clicks, t.images, cast(floor(
    ln(1 + cast(c.clicks as double)) * ln(1 + cast({clicked} as double) / t.images) * 16777216
  ) as double) / 16777216 as value
from clicked c join terms t on c.term = t.term
""",
    "jaccard": """
select c.term, c.node, c.clicks, t.images, s.size as value
from clicked c join terms t on c.term = t.term join sizes s on c.node = s.node
""",
    "shared_queries": """
select c.term, c.node, c.clicks, t.images, 1 as value
from clicked c join terms t on c.term = t.term
""",
}
_NORMS = """
select node, sqrt(
    cast(sum(cast(floor(value * value * 1073741824) as bigint)) as double) / 1073741824
  ) as norm
from entries group by node
"""
_CAPPED = """
select term, node, value from entries where images between 2 and {cap}
union all select term, node, value from (
  select term, node, value,
    row_number() over (partition by term order by clicks desc, node) as place
  from entries where images > {cap}
) where place <= {cap}
"""
# Units of 2^-26: a product of two has 52 bits, and a sum of products, at most 2^52, is exact.
_UNIT_LENGTH = """
select c.term, c.node, cast(floor(c.value / n.norm * 67108864 + 0.5) as double) as value
from ({rows}) c join norms n on c.node = n.node
"""
# In order: the join then finds the partners of neighbouring rows in the same place.
_VECTORS = """
select term, node, value, cast(node % {blocks} as int) as block from ({rows}) order by term, node
"""
_COUNTS = """
select cast(coalesce(sum(n * (n - 1) / 2), 0) as bigint), coalesce(sum(n), 0),
  coalesce(sum(images - n), 0)
from (select images, least(images, {cap}) as n from terms)
"""
# Weights of at most 1 in units of 2^-31.
_FINE = 2**31
_UNITS = {
    "idf_cosine": (
        "cast(least(floor(sum(a.value * b.value) / 2097152 + 0.5), 2147483648) as bigint)",
        _FINE,
    ),
    "jaccard": (
        "cast(floor(count(*) * cast(2147483648 as double) "
        "/ (min(a.value) + min(b.value) - count(*)) + 0.5) as bigint)",
        _FINE,
    ),
    "shared_queries": ("count(*)", 1),
}
_PAIRS = """
select a.node as source, {key} as key
from (select term, node, value from vectors where block = {block}) a
  join vectors b on a.term = b.term
where a.node <> b.node group by a.node, b.node {having}
"""


def click_pairs(engine: Engine, config: CoclickConfig) -> dict[str, int]:
    """Make `best` (source, target, weight) from `clicked` and `terms`, by a weighting of queries.

    Returns:
        Counts: pairs looked at (unordered, capped, before equal ones are added up), entries cut.
    """
    pairs, rows, over = engine.row(_COUNTS.format(cap=config.images_per_query))
    clicked = 0
    if config.weighting == "idf_cosine":
        (clicked,) = engine.row("select count(distinct node) from clicked")
    elif config.weighting == "jaccard":
        engine.make("sizes", _SIZES)
    engine.make("entries", _ENTRIES[config.weighting].format(clicked=clicked))
    vectors = _CAPPED.format(cap=config.images_per_query)
    if config.weighting == "idf_cosine":
        engine.make("norms", _NORMS)
        vectors = _UNIT_LENGTH.format(rows=vectors)
    blocks = engine.blocks(2 * int(pairs), int(rows))
    engine.make("vectors", _VECTORS.format(rows=vectors, blocks=blocks))
    engine.drop("entries", "norms", "sizes")
    units, one = _UNITS[config.weighting]
    pair = key(units, "b.node")
    # A count that nobody asks for would make every group larger.
    having = f"having count(*) >= {config.support}" if config.support > 1 else ""
    selects = [_PAIRS.format(key=pair, having=having, block=block) for block in range(blocks)]
    engine.make("best", *(best_keys(pairs_of_block, config, one) for pairs_of_block in selects))
    engine.drop("vectors")
    return {"coclick_pairs": int(pairs), "clicked_pairs_over_cap": int(over)}
