"""The report of a single run: one metric a row with its interval, hubs, and groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphrise.evaluate import format as fmt
from graphrise.evaluate.details import CONFIDENCE_LEVEL, Detail
from graphrise.evaluate.groups import GroupValue
from graphrise.evaluate.report_data import Report, RunResult
from graphrise.evaluate.table import caption, metric_names

if TYPE_CHECKING:
    from rich.console import Console

HEADER = ("metric", "%", f"{CONFIDENCE_LEVEL:.0%} interval".replace("%", " %"))
GROUP_HEADER = ("group", "recall@1, %", "queries")
_SHOWN = 5


def single_run(report: Report) -> RunResult | None:
    """The run of a report of one run with details; None: models stand side by side."""
    runs = [run for model in report.models for run in model.runs]
    return runs[0] if len(runs) == 1 and runs[0].details else None


def metric_rows(report: Report, run: RunResult, query_set: str) -> list[tuple[str, str, str]]:
    """Every metric of a query set as cells under `HEADER`, the main one first."""
    scores = run.metrics.get(query_set, {})
    detail = run.details.get(query_set)
    intervals = detail.intervals if detail else {}
    rows = []
    for name in metric_names(report, query_set):
        shown = fmt.NOTHING
        if name in intervals:
            shown = f"{100 * intervals[name].low:.1f} to {100 * intervals[name].high:.1f}"
        rows.append((name, f"{100 * scores[name]:.1f}", shown))
    return rows


def group_rows(detail: Detail | None) -> list[tuple[str, str, str]]:
    """The worst and the best groups as cells under `GROUP_HEADER`; all if they are few."""
    groups = detail.groups if detail else ()
    if len(groups) <= 2 * _SHOWN:
        return _cells(groups)
    left_out = f"... {len(groups) - 2 * _SHOWN:,} more ..."
    return [*_cells(groups[:_SHOWN]), (left_out, "", ""), *_cells(groups[-_SHOWN:])]


def _cells(groups: Sequence[tuple[str, GroupValue]]) -> list[tuple[str, str, str]]:
    return [(name, f"{100 * (of.value or 0):.1f}", f"{of.scored:,}") for name, of in groups]


def remarks(detail: Detail | None) -> str:
    """What the intervals resample, and the hubs, in sentences; empty without a detail."""
    if detail is None:
        return ""
    hubs = detail.hubs
    resampled = f"Intervals: bootstrap over {detail.instances:,} instances."
    if not detail.intervals:
        resampled = "No interval: the queries show fewer than two instances."
    return (
        f"{resampled} Hubs: {100 * hubs.never_found:.1f} % of the gallery is among the {hubs.k} "
        f"nearest of no query, the largest hub among those of {hubs.largest:,}; skewness "
        f"{hubs.skewness:.2f}."
    )


def cost(run: RunResult) -> str:
    """What training took, as a sentence."""
    passes, seconds = fmt.count(run.encoder_passes), fmt.duration(run.seconds)
    return f"Training: {passes} encoder passes, {seconds}, seed {run.seed}."


def print_details(report: Report, console: Console | None = None) -> None:
    """Prints the tables of a report of a single run to the terminal (or to the given console).

    Args:
        report: One model with one run.
        console: Where to print.
    """
    from rich.console import Console

    console = console if console is not None else Console()
    run = report.models[0].runs[0]
    for query_set in run.metrics:
        rows = metric_rows(report, run, query_set)
        detail = run.details.get(query_set)
        said = " ".join(filter(None, (caption(report.query_set(query_set)), remarks(detail))))
        _print(console, query_set, HEADER, rows, said)
        if detail and detail.groups:
            _print(console, f"{query_set}, by group", GROUP_HEADER, group_rows(detail))
    console.print(cost(run))


def _print(
    console: Console,
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    said: str = "",
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.title_justify = "left"
    for place, name in enumerate(header):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    if said:
        console.print(Text(said, style="dim"))
        console.print()
