"""Edges between images clicked in the same result list: the paper's co-click rate, and counts.

A result list is one (session, query). The rate is that of US 11,586,927, claims 2 and 3: lists with
both images clicked over lists with both shown.
"""

from __future__ import annotations

from graphrise.config import CoclickConfig
from graphrise.graph.engine.base import Engine
from graphrise.graph.sql.prune import best, both_ways

# A list becomes a number: the joins below would else carry two strings a row.
_LISTS = """
select session, query, row_number() over (order by session, query) - 1 as list from (
  select t.session, s.spelling as query
  from impressions t join spellings s on cast(t.query as string) = s.query
  where s.spelling <> '' {clicked_only} group by t.session, s.spelling
)
"""
_ROWS = """
select l.list, i.node, case when cast(t.clicked as double) > 0 then 1 else 0 end as clicked
from impressions t join images i on t.image_id = i.image_id
  join spellings s on cast(t.query as string) = s.query
  join lists l on t.session = l.session and s.spelling = l.query
where i.node is not null {clicked_only}
"""
_CLICKED_ONLY = "and cast(t.clicked as double) > 0"
_CLICKED = "select list, node, 1 as clicked from list_rows where clicked = 1 group by list, node"
_CAPPED = """
select list, node from (
  select list, node, row_number() over (partition by list order by clicked desc, node) as place
  from {rows}
) where place <= {cap}
"""
_BOTH_CLICKED = """
select a.node as source, b.node as target, count(*) as both_clicked
from (select list, node from list_clicks where node % {blocks} = {block}) a
  join list_clicks b on a.list = b.list
where a.node < b.node group by a.node, b.node having count(*) >= {support}
"""
_SHOWN = """
select r.list, r.node, max(r.clicked) as clicked
from list_rows r join (
    select source as node from coclicked union select target from coclicked
  ) p on r.node = p.node
group by r.list, r.node
"""
# By list, so that every list is joined once, in memory, whatever their number.
_BOTH_SHOWN = """
select a.node as source, b.node as target, count(*) as both_shown
from (select list, node from shown where list % {blocks} = {block}) a
  join (select list, node from shown where list % {blocks} = {block}) b on a.list = b.list
  join coclicked c on c.source = a.node and c.target = b.node
group by a.node, b.node
"""
_RATES = """
select c.source, c.target,
  cast(cast(c.both_clicked as double) / sum(s.both_shown) as float) as weight
from coclicked c join together s on c.source = s.source and c.target = s.target
group by c.source, c.target, c.both_clicked
"""
_COUNTS = "select source, target, cast(both_clicked as float) as weight from coclicked"
_PAIRS_IN = """
select cast(coalesce(sum(n * (n - 1) / 2), 0) as bigint), coalesce(max(n), 0), coalesce(sum(n), 0)
from (select count(*) as n from {rows} group by list)
"""


def list_pairs(engine: Engine, config: CoclickConfig) -> dict[str, int]:
    """Make `best` (source, target, weight) from `impressions` and `spellings`.

    Images beyond `images_per_query` of a list are not looked at, clicked ones first, so that a
    list of a million images costs what one of that many does.

    Returns:
        Counts: pairs of clicked images looked at, images of lists cut.
    """
    rate = config.weighting == "coclick_rate"
    clicked_only = "" if rate else _CLICKED_ONLY
    engine.make("lists", _LISTS.format(clicked_only=clicked_only))
    engine.make("list_rows", _ROWS.format(clicked_only=clicked_only))
    engine.drop("lists")
    over, pairs, rows = _capped(engine, "list_clicks", _CLICKED, config.images_per_query)
    blocks = engine.blocks(pairs, rows)
    selects = [
        _BOTH_CLICKED.format(blocks=blocks, block=block, support=config.support)
        for block in range(blocks)
    ]
    engine.make("coclicked", *selects)
    engine.drop("list_clicks")
    select = _COUNTS
    if rate:
        over, shown, rows = _capped(engine, "shown", _SHOWN, config.images_per_query)
        blocks = engine.blocks(shown, rows)
        selects = [_BOTH_SHOWN.format(blocks=blocks, block=block) for block in range(blocks)]
        engine.make("together", *selects)
        select = _RATES
    engine.make("list_pairs", select)
    engine.drop("coclicked", "together", "list_rows", "shown")
    engine.make("best", best(both_ways("list_pairs"), config))
    engine.drop("list_pairs")
    return {"coclick_pairs": pairs, "clicked_pairs_over_cap": over}


def _capped(engine: Engine, name: str, select: str, cap: int) -> tuple[int, int, int]:
    """Make `name` (list, node) of a SELECT (list, node, clicked), with at most `cap` rows a list.

    Returns:
        Rows cut, pairs that the rest makes, and its rows.
    """
    engine.make(name, select)
    pairs, longest, kept = engine.row(_PAIRS_IN.format(rows=name))
    if longest <= cap:  # the usual case: no sort of the whole log
        return 0, int(pairs), int(kept)
    engine.make(f"{name}_capped", _CAPPED.format(rows=name, cap=cap))
    (over,) = engine.row(
        f"select (select count(*) from {name}) - (select count(*) from {name}_capped)"
    )
    engine.make(name, f"select list, node from {name}_capped")
    engine.drop(f"{name}_capped")
    pairs, _, kept = engine.row(_PAIRS_IN.format(rows=name))
    return int(over), int(pairs), int(kept)
