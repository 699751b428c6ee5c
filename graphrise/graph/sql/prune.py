"""Which edges of a kind stay: of a minimum weight, among the top k of one end or of both."""

from __future__ import annotations

from graphrise.config import CoclickConfig, GivenConfig, SimilarConfig
from graphrise.graph.engine.base import Engine

_HEAVY = """
select source, target, weight from ({rows})
where weight > 0 and weight >= cast({min_weight!r} as float)
"""
_BEST = """
select source, target, weight from (
  select source, target, weight,
    row_number() over (partition by source order by weight desc, target) as place
  from ({rows})
) where place <= {top_k}
"""
# With one integer to sort by, engines keep k a node in passing and sort nothing.
_BEST_KEYS = """
select source, key from (
  select source, key, row_number() over (partition by source order by key desc) as place
  from ({rows})
) where place <= {top_k}
"""
_FROM_KEYS = """
select source, target, cast(cast(units as double) / {one} as float) as weight from (
  select source, cast(2147483647 - key % 2147483648 as int) as target,
    (key - key % 2147483648) / 2147483648 as units
  from ({rows})
) where units > 0 and cast(cast(units as double) / {one} as float) >= cast({min_weight!r} as float)
"""
# Weights of the two directions are equal here.
_EITHER = """
select least(source, target) as a, greatest(source, target) as b, max(weight) as weight
from {rows} group by least(source, target), greatest(source, target)
"""
_MUTUAL = _EITHER + "having count(*) = 2"


def both_ways(table: str) -> str:
    """SELECT of every row of `table` (source, target, weight) in both directions."""
    return f"""
        select source, target, weight from {table}
        union all select target as source, source as target, weight from {table}
    """


def best(rows: str, config: CoclickConfig | SimilarConfig | GivenConfig) -> str:
    """SELECT of the rows that their source keeps.

    Args:
        rows: SELECT of source, target, weight, every pair in both directions with equal weights.
        config: `min_weight` and `top_k`; among equal weights the lowest target wins.
    """
    rows = _HEAVY.format(rows=rows, min_weight=config.min_weight)
    return rows if config.top_k is None else _BEST.format(rows=rows, top_k=config.top_k)


def key(units: str, target: str) -> str:
    """Expression of one integer that is larger for more units, then for a lower target.

    Args:
        units: Expression, a bigint in `[0, 2^31]`.
        target: Expression, a node.
    """
    return f"({units}) * 2147483648 + (2147483647 - {target})"


def best_keys(rows: str, config: CoclickConfig, one: int) -> str:
    """SELECT of the rows (source, target, weight) that their source keeps.

    Args:
        rows: SELECT of source and `key`, every pair in both directions with equal units.
        config: `min_weight` and `top_k`; among equal units the lowest target wins.
        one: Units of a weight of 1.
    """
    if config.top_k is not None:
        rows = _BEST_KEYS.format(rows=rows, top_k=config.top_k)
    return _FROM_KEYS.format(rows=rows, min_weight=config.min_weight, one=one)


def at_least(table: str, min_weight: float) -> str:
    """SELECT of the rows of `table` (source, target, weight) of a minimum weight."""
    return f"""
        select source, target, weight from {table} where weight >= cast({min_weight!r} as float)
    """


def keep_kind(engine: Engine, number: int, rows: str, *, mutual: bool = False) -> int:
    """Make `kind_NUMBER` (a, b, weight; a below b) from the directed rows of a table.

    Args:
        engine: Has the table `rows` (source, target, weight).
        number: Of the table made.
        rows: Table.
        mutual: Whether an edge needs both ends to keep it; one is enough otherwise.

    Returns:
        Undirected edges.
    """
    engine.make(f"kind_{number}", (_MUTUAL if mutual else _EITHER).format(rows=rows))
    (count,) = engine.row(f"select count(*) from kind_{number}")
    return int(count)
