"""Edges between images clicked for the same query: the self-join, in blocks, and top k at once.

Sums are of whole numbers: they do not depend on the order of rows, on blocks, or on the engine.
"""

from __future__ import annotations

from graphrise.config import CoclickConfig
from graphrise.graph.engine import Engine
from graphrise.graph.prune import best

_CAPPED = """
select term, node, clicks from (
  select term, node, clicks,
    row_number() over (partition by term order by clicks desc, node) as place
  from clicked
) where place <= {cap}
"""
_SIZES = "select node, count(*) as size from clicked group by node"
# A click vector's entry: log(1 + clicks) damps the head, ln(1 + N / df) is the query's idf.
_VALUES = """
select c.term, c.node, cast(floor(
    ln(1 + cast(c.clicks as double)) * ln(1 + cast({clicked} as double) / t.images) * 16777216
  ) as double) / 16777216 as value
from clicked c join terms t on c.term = t.term
"""
_NORMS = """
select node, sqrt(
    cast(sum(cast(floor(value * value * 1073741824) as bigint)) as double) / 1073741824
  ) as norm
from click_values group by node
"""
# Units of 2^-26: a product of two has 52 bits, and a sum of products, at most 2^52, is exact.
_VECTORS = {
    "idf_cosine": """
select c.term, c.node, cast(floor(v.value / n.norm * 67108864 + 0.5) as double) as value
from capped c join click_values v on c.term = v.term and c.node = v.node
  join norms n on c.node = n.node
""",
    "jaccard": """
select c.term, c.node, s.size as value from capped c join sizes s on c.node = s.node
""",
    "shared_queries": "select term, node, 1 as value from capped",
}
_WEIGHT = {
    "idf_cosine": "least(sum(a.value * b.value) / 4503599627370496, cast(1 as double))",
    "jaccard": "cast(count(*) as double) / (min(a.value) + min(b.value) - count(*))",
    "shared_queries": "count(*)",
}
_PAIRS = """
select a.node as source, b.node as target, cast({weight} as float) as weight
from (select term, node, value from vectors where node % {blocks} = {block}) a
  join vectors b on a.term = b.term
where a.node <> b.node group by a.node, b.node having count(*) >= {support}
"""


def click_pairs(engine: Engine, config: CoclickConfig) -> dict[str, int]:
    """Make `best` (source, target, weight) from `clicked` and `terms`, by a weighting of queries.

    Returns:
        Counts: pairs looked at (unordered, capped, before equal ones are added up), entries cut.
    """
    engine.make("capped", _CAPPED.format(cap=config.images_per_query))
    cut = "select (select count(*) from clicked) - (select count(*) from capped)"
    (over,) = engine.row(cut)
    (pairs,) = engine.row(
        "select cast(coalesce(sum(n * (n - 1) / 2), 0) as bigint) "
        "from (select count(*) as n from capped group by term)"
    )
    if config.weighting == "idf_cosine":
        (clicked,) = engine.row("select count(distinct node) from clicked")
        engine.make("click_values", _VALUES.format(clicked=clicked))
        engine.make("norms", _NORMS)
    elif config.weighting == "jaccard":
        engine.make("sizes", _SIZES)
    engine.make("vectors", _VECTORS[config.weighting])
    engine.drop("capped", "click_values", "norms", "sizes")
    blocks = engine.blocks(2 * int(pairs))
    selects = [
        _PAIRS.format(
            weight=_WEIGHT[config.weighting], support=config.support, blocks=blocks, block=block
        )
        for block in range(blocks)
    ]
    engine.make("best", *(best(pairs, config) for pairs in selects))
    engine.drop("vectors")
    return {"coclick_pairs": int(pairs), "clicked_pairs_over_cap": int(over)}
