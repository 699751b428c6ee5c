"""Kinds of edges made one graph: symmetric, pruned, scaled, added up, both directions in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from graphrise.config import GivenConfig, SimilarConfig
from graphrise.graph.engine.base import Engine
from graphrise.graph.sql.logs import LogTable
from graphrise.graph.sql.prune import best, both_ways

_SIMILAR = """
select i.node as source, j.node as target,
  cast(sum(cast(t.clicks as double)) as bigint) as clicks{shown}
from similar_clicks t join images i on t.image_id = i.image_id
  join images j on t.similar_image_id = j.image_id
where i.node is not null and j.node is not null and i.node <> j.node
group by i.node, j.node
"""
_SHOWN = ", cast(sum(cast(t.impressions as double)) as bigint) as impressions"
_SYMMETRIC = """
select least(source, target) as source, greatest(source, target) as target,
  cast({weight} as float) as weight
from ({rows}) group by least(source, target), greatest(source, target) having {support}
"""
_IN_ORDER = """
select a as source, b as target, weight, kind from merged
union all select b as source, a as target, weight, kind from merged order by source, target
"""
_RULE = {"max": "max(weight)", "mean": "sum(weight) / 2", "sum": "sum(weight)"}
# Of rows that repeat a direction the heaviest counts, whatever their order.
_GIVEN = """
select i.node as source, j.node as target, max(cast(t.weight as double)) as weight
from edges t join images i on t.source = i.image_id join images j on t.target = j.image_id
where i.node is not null and j.node is not null and i.node <> j.node and {name}
group by i.node, j.node
"""


def similar_pairs(engine: Engine, config: SimilarConfig) -> None:
    """Make `best` from `similar_clicks`: a rate or a count for each pair, of both directions."""
    rate = config.weighting == "rate"
    engine.make("similar_rows", _SIMILAR.format(shown=_SHOWN if rate else ""))
    value = "cast(clicks as double) / impressions" if rate else "cast(clicks as double)"
    rows = f"select source, target, clicks, {value} as weight from similar_rows where clicks > 0"
    _symmetric_best(engine, rows, f"sum(clicks) >= {config.support}", config.symmetric, config)
    engine.drop("similar_rows")


def given_pairs(engine: Engine, name: str, table: LogTable, config: GivenConfig) -> None:
    """Make `best` from the rows of `edges` that are of kind `name`; without a kind, `given`."""
    # In hex: the engines do not read a quote and a backslash alike.
    code, kind = name.encode().hex().upper(), "coalesce(cast(t.kind as string), 'given')"
    condition = f"hex({kind}) = '{code}'" if "kind" in table.columns else "true"
    rows = _GIVEN.format(name=condition)
    _symmetric_best(engine, rows, "count(*) > 0", config.symmetric, config)


def _symmetric_best(
    engine: Engine, rows: str, support: str, rule: str, config: SimilarConfig | GivenConfig
) -> None:
    engine.make(
        "symmetric_pairs", _SYMMETRIC.format(rows=rows, weight=_RULE[rule], support=support)
    )
    engine.make("best", best(both_ways("symmetric_pairs"), config))
    engine.drop("symmetric_pairs")


def export_edges(engine: Engine, kinds: Sequence[tuple[int, int, float]]) -> list[Path]:
    """All edges in both directions.

    Args:
        engine: Has the tables of `keep_kind`.
        kinds: Table number, bit and scale of each. An edge of several kinds weighs the sum.

    Returns:
        Parquet parts: source, target, weight (float), kind (bits), sorted by source and target.
    """
    rows = "\nunion all ".join(
        f"select a, b, {n} as origin, {bit} as kind, cast(weight as double) * {scale!r} as weight "
        f"from kind_{n}"
        for n, bit, scale in kinds
    )
    # One addend a kind, in a fixed order: a sum() would add them in any.
    weight = " + ".join(
        f"coalesce(max(case when origin = {n} then weight end), 0)" for n, _, _ in kinds
    )
    bits = " + ".join(
        f"max(case when kind = {bit} then {bit} else 0 end)"
        for bit in sorted({bit for _, bit, _ in kinds})
    )
    engine.make(
        "merged",
        f"""select a, b, cast({weight} as float) as weight, cast({bits} as int) as kind
        from ({rows}) group by a, b""",
    )
    return engine.export("edges_in_order", _IN_ORDER)
