"""Which edges of a kind stay: of a minimum weight, among the top k of one end or of both."""

from __future__ import annotations

from graphrise.config import CoclickConfig, GivenConfig, SimilarConfig
from graphrise.graph.engine import Engine

_BEST = """
select source, target, weight from (
  select source, target, weight,
    row_number() over (partition by source order by weight desc, target) as place
  from ({rows}) where weight > 0 and weight >= cast({min_weight!r} as float)
) where place <= {top_k}
"""
# Weights of the two directions are equal here.
_EITHER = """
select least(source, target) as a, greatest(source, target) as b, max(weight) as weight
from {rows} group by least(source, target), greatest(source, target)
"""
_MUTUAL = _EITHER + "having count(*) = 2"
_ALL = 2**62


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
    return _BEST.format(rows=rows, min_weight=config.min_weight, top_k=config.top_k or _ALL)


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
