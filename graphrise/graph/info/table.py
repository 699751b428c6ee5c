"""A graph's figures as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

NOTHING = "\N{EN DASH}"
BAR = 20
"""Characters of the longest bar."""


def print_info(info: dict[str, Any], console: Console | None = None) -> None:
    """Print what `graph_info` found; every table fits 80 columns.

    Args:
        info: From `graph_info`.
        console: Where to; None is stdout.
    """
    from rich.console import Console
    from rich.text import Text

    console = console if console is not None else Console()
    if info["counted"]:
        for table in (_counts(info), _spreads(info), _degrees(info), *_labels(info)):
            console.print(table)
    else:
        console.print(f"{info['nodes']:,} nodes, {info['edges']:,} edges; not counted.")
    console.print()
    if not info["problems"]:
        console.print("Self-check: sound.", style="green", highlight=False)
        return
    console.print("Self-check: failed. Build the graph again.", style="bold red")
    for problem in info["problems"]:
        # Image ids may hold what rich takes for markup.
        console.print(Text(f"- {problem}"), soft_wrap=True)


def _counts(info: dict[str, Any]) -> Table:
    nodes, edges, degree, bare = (info[k] for k in ("nodes", "edges", "degree", "unlabelled"))
    isolated, parts = degree["isolated"] if degree else 0, info["components"]
    rows: list[tuple[str, int, int | None]] = [
        ("nodes", nodes, None),
        ("  isolated", isolated, nodes),
        ("  without a label", bare["nodes"], nodes),
        ("  isolated and without a label", bare["isolated"], nodes),
        ("components", parts["number"], None),
        ("  nodes in the largest", parts["largest"], nodes),
        ("edges", edges, None),
    ]
    rows += [(f"  {kind}", count, edges) for kind, count in info["kinds"].items()]
    rows += [(f"  only {kinds}", count, edges) for kinds, count in info["combinations"].items()]
    table = _table("", ["", "number", "share"])
    for name, count, whole in rows:
        share = "" if whole is None else _percent(count / whole if whole else None)
        _add(table, name, f"{count:,}", share)
    return table


def _spreads(info: dict[str, Any]) -> Table:
    names = ("min", "median", "mean", "p90", "p99", "max")
    table = _table("Spread", ["", *names])
    for title, key in (
        ("neighbours per node", "degree"),
        ("edge weight per node", "strength"),
        ("weight per edge", "weight"),
    ):
        values = info[key]
        _add(table, title, *(_number(values[n]) if values else NOTHING for n in names))
    return table


def _degrees(info: dict[str, Any]) -> Table:
    table = _table("Degree distribution", ["neighbours", "nodes", "share", ""])
    table.columns[-1].justify = "left"
    rows = info["degree"]["histogram"] if info["degree"] else []
    most = max((row["nodes"] for row in rows), default=0)
    for row in rows:
        low, high, nodes = row["from"], row["to"], row["nodes"]
        name = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        # A node must be seen beside millions.
        bar = "#" * -(-nodes * BAR // most)
        _add(table, name, f"{nodes:,}", _percent(nodes / info["nodes"]), bar)
    return table


def _labels(info: dict[str, Any]) -> list[Table]:
    if not info["labels"]:
        return []
    header = ["source", "labelled nodes", "share", "per node", "max", "vocabulary", "used"]
    labels = _table("Labels", header)
    for source, row in info["labels"].items():
        _add(
            labels,
            source,
            f"{row['labelled']:,}",
            _percent(row["labelled_share"]),
            _number(row["per_labelled_mean"]),
            f"{row['per_labelled_max']:,}",
            f"{row['vocabulary']:,}",
            _percent(row["vocabulary_used_share"]),
        )
    header = ["source", "kind", "edges", "same label", "by weight", "expected", "adjusted"]
    homophily = _table("Label homophily", header)
    homophily.columns[1].justify = "left"
    homophily.caption = (
        "Edges between labelled nodes; same label: the heaviest labels are equal; expected: with "
        "ends wired at random; adjusted: (same - expected) / (1 - expected)."
    )
    for row in info["homophily"]:
        if row["kind"] is None or info["kinds"][row["kind"]]:
            # Many labels make small shares, of which the first digits tell.
            shares = (_percent(row[k], ".3g") for k in ("same", "same_by_weight", "expected"))
            adjusted = NOTHING if row["adjusted"] is None else f"{row['adjusted']:z.3f}"
            kind = "any" if row["kind"] is None else row["kind"]
            _add(homophily, row["source"], kind, f"{row['edges']:,}", *shares, adjusted)
    return [labels, homophily]


def _table(title: str, header: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.title_justify = table.caption_justify = "left"
    for place, text in enumerate(header):
        table.add_column(text, justify="right" if place else "left", overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    from rich.text import Text

    table.add_row(*(Text(cell) for cell in cells))


def _percent(share: float | None, digits: str = ".1f") -> str:
    return NOTHING if share is None else f"{100 * share:{digits}}%"


def _number(value: float | None) -> str:
    """Whole numbers and large ones with commas, others to four digits."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if isinstance(value, int) or value >= 1000 else f"{value:.4g}"
