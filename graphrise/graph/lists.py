"""Edges between images clicked in the same result list: the paper's co-click rate, and counts.

A result list is one (session, query). The rate is that of US 11,586,927, claims 2 and 3: lists with
both images clicked over lists with both shown.
"""

from __future__ import annotations

from graphrise.config import CoclickConfig
from graphrise.graph.engine import Engine
from graphrise.graph.prune import best, both_ways

_CLICKED = """
select t.session, s.spelling as query, i.node
from impressions t join images i on t.image_id = i.image_id
  join spellings s on cast(t.query as string) = s.query
where i.node is not null and cast(t.clicked as double) > 0 and s.spelling <> ''
group by t.session, s.spelling, i.node
"""
_CAPPED = """
select session, query, node from (
  select session, query, node,
    row_number() over (partition by session, query order by {order} node) as place
  from {rows}
) where place <= {cap}
"""
_BOTH_CLICKED = """
select a.node as source, b.node as target, count(*) as both_clicked
from (select session, query, node from list_clicks where node % {blocks} = {block}) a
  join list_clicks b on a.session = b.session and a.query = b.query
where a.node < b.node group by a.node, b.node having count(*) >= {support}
"""
_IN_PAIRS = "select source as node from coclicked union select target from coclicked"
_SHOWN = """
select t.session, s.spelling as query, i.node,
  max(case when cast(t.clicked as double) > 0 then 1 else 0 end) as clicked
from impressions t join images i on t.image_id = i.image_id
  join in_pairs p on i.node = p.node
  join spellings s on cast(t.query as string) = s.query
where s.spelling <> '' group by t.session, s.spelling, i.node
"""
_BOTH_SHOWN = """
select c.source, c.target, count(*) as both_shown
from (select session, query, node from shown where node % {blocks} = {block}) a
  join shown b on a.session = b.session and a.query = b.query
  join coclicked c on c.source = a.node and c.target = b.node
where a.node < b.node group by c.source, c.target
"""
_RATES = """
select c.source, c.target, cast(cast(c.both_clicked as double) / s.both_shown as float) as weight
from coclicked c join together s on c.source = s.source and c.target = s.target
"""
_COUNTS = "select source, target, cast(both_clicked as float) as weight from coclicked"
_PAIRS_IN = """
select cast(coalesce(sum(n * (n - 1) / 2), 0) as bigint), coalesce(max(n), 0)
from (select count(*) as n from {rows} group by session, query)
"""


def list_pairs(engine: Engine, config: CoclickConfig) -> dict[str, int]:
    """Make `best` (source, target, weight) from `impressions` and `spellings`.

    Images beyond `images_per_query` of a list are not looked at, clicked ones first, so that a
    list of a million images costs what one of that many does.

    Returns:
        Counts: pairs of clicked images looked at, images of lists cut.
    """
    engine.make("list_rows", _CLICKED)
    over = _cap(engine, "list_rows", "list_clicks", "", config.images_per_query)
    pairs, _ = engine.row(_PAIRS_IN.format(rows="list_clicks"))
    blocks = engine.blocks(int(pairs))
    engine.make(
        "coclicked",
        *(
            _BOTH_CLICKED.format(blocks=blocks, block=block, support=config.support)
            for block in range(blocks)
        ),
    )
    engine.drop("list_clicks")
    select = _COUNTS
    if config.weighting == "coclick_rate":
        over = _shown_together(engine, config)
        select = _RATES
    engine.make("list_pairs", select)
    engine.drop("coclicked", "together")
    engine.make("best", best(both_ways("list_pairs"), config))
    engine.drop("list_pairs")
    return {"coclick_pairs": int(pairs), "clicked_pairs_over_cap": over}


def _shown_together(engine: Engine, config: CoclickConfig) -> int:
    engine.make("in_pairs", _IN_PAIRS)
    engine.make("shown_rows", _SHOWN)
    over = _cap(engine, "shown_rows", "shown", "clicked desc,", config.images_per_query)
    pairs, _ = engine.row(_PAIRS_IN.format(rows="shown"))
    # Most pairs that were shown were never clicked together: the join drops them at once.
    blocks = max(1, engine.blocks(int(pairs)) // 16)
    engine.make(
        "together",
        *(_BOTH_SHOWN.format(blocks=blocks, block=block) for block in range(blocks)),
    )
    engine.drop("in_pairs", "shown")
    return over


def _cap(engine: Engine, rows: str, name: str, order: str, cap: int) -> int:
    """Make `name` of `rows` with at most `cap` images a list; gives the number cut."""
    _, longest = engine.row(_PAIRS_IN.format(rows=rows))
    if longest <= cap:  # the usual case: no sort of the whole log
        engine.make(name, f"select session, query, node from {rows}")
        engine.drop(rows)
        return 0
    engine.make(name, _CAPPED.format(rows=rows, order=order, cap=cap))
    (over,) = engine.row(f"select (select count(*) from {rows}) - (select count(*) from {name})")
    engine.drop(rows)
    return int(over)
