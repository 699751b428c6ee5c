"""The summary of a report as rows, Markdown and a terminal table: the same numbers everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphrise.evaluate import format as fmt
from graphrise.evaluate.report_data import Model, QuerySet, Report
from graphrise.evaluate.spread import Spread, spread

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class SummaryRow:
    """One model on one query set."""

    model: str
    is_baseline: bool
    is_featured: bool
    seeds: int
    metrics: Mapping[str, Spread]
    """Metric -> share in 0..1 over seeds; only what this model scored on this set."""
    ratio: float | None
    """Mean of the main metric over the baseline's; None without one, or where it is 0."""
    passes: float
    """Encoder passes in training, mean over seeds."""
    passes_ratio: float | None
    seconds: float
    """Wall time of training, mean over seeds."""
    seconds_ratio: float | None


def summary_rows(report: Report) -> dict[str, list[SummaryRow]]:
    """Query set -> one row for each model that was scored on it, in the report's order."""
    return {
        query_set.name: [
            _row(report, model, query_set.name)
            for model in report.models
            if query_set.name in model.runs[0].metrics
        ]
        for query_set in report.query_sets
    }


def metric_names(report: Report, query_set: str) -> list[str]:
    """Metrics of a query set: the main one first, the others in the order models name them."""
    names = [report.main_metric]
    for model in report.models:
        names.extend(model.runs[0].metrics.get(query_set, {}))
    scored = {name for m in report.models for name in m.runs[0].metrics.get(query_set, {})}
    return [name for name in dict.fromkeys(names) if name in scored]


def header_cells(report: Report, query_set: str) -> list[str]:
    """Column headers of a query set's table, in the order of `row_cells`."""
    main, *others = metric_names(report, query_set) or [report.main_metric]
    against = ["vs baseline"] if report.baseline else []
    return ["model", f"{main}, %", *against, *_COST_HEADERS, *(f"{name}, %" for name in others)]


def row_cells(report: Report, query_set: str, row: SummaryRow) -> list[str]:
    """The cells of a row as text: percent with standard deviation, ratios, counts, durations."""
    main, *others = metric_names(report, query_set) or [report.main_metric]
    against = [fmt.ratio(row.ratio)] if report.baseline else []
    return [
        row.model + (" (baseline)" if row.is_baseline else ""),
        fmt.percent(row.metrics.get(main)),
        *against,
        fmt.count(row.passes) + _beside(row.passes_ratio),
        fmt.duration(row.seconds) + _beside(row.seconds_ratio),
        str(row.seeds),
        *(fmt.percent(row.metrics.get(name)) for name in others),
    ]


def caption(query_set: QuerySet) -> str:
    """One line under a table: what the set is and how many queries it has or lacks."""
    counts = [f"{value:,} {name}" for name, value in query_set.counts.items()]
    held_out = [] if query_set.held_out else ["Not held out."]
    text = query_set.note.strip().rstrip(".")
    note = [f"{text[0].upper()}{text[1:]}."] if text else []
    return " ".join([*held_out, *note, *(["; ".join(counts) + "."] if counts else [])])


def to_markdown(report: Report) -> str:
    """All query sets as Markdown tables, each under its name and note."""
    parts = []
    for name, rows in summary_rows(report).items():
        header = header_cells(report, name)
        lines = [header, ["---"] + ["---:"] * (len(header) - 1)]
        lines += [row_cells(report, name, row) for row in rows]
        table = "\n".join("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines)
        parts.append(f"### {name}\n\n{caption(report.query_set(name))}\n\n{table}\n")
    return "\n".join(parts).replace("\n\n\n\n", "\n\n")


def print_table(report: Report, console: Console | None = None) -> None:
    """Prints one table a query set to the terminal (or to the given console).

    A terminal under 120 characters, or under 10 a column, gets the main metric and its cost; a line
    names the rest.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = console if console is not None else Console()
    for name, rows in summary_rows(report).items():
        header = header_cells(report, name)
        shown = len(header)
        if console.width < max(_WIDE, _COLUMN * len(header)):
            shown = header.index(_COST_HEADERS[-1]) + 1
        notes = [caption(report.query_set(name))]
        if header[shown:]:
            notes.append(f"Not shown in this width: {'; '.join(header[shown:])}.")
        table = Table(title=name, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        table.title_justify = table.caption_justify = "left"
        table.caption = " ".join(filter(None, notes)) or None
        for place, text in enumerate(header[:shown]):
            # Costs may break into two lines, names and the score should not.
            justify = "right" if place else "left"
            table.add_column(text, justify=justify, overflow="fold", no_wrap=place < 2)
        for row in rows:
            style = "bold" if row.is_featured else None
            table.add_row(*row_cells(report, name, row)[:shown], style=style)
        console.print(table)


_COST_HEADERS = ("encoder passes", "training time", "seeds")
# Below this many characters, in all or a column, a terminal breaks the table into slivers.
_WIDE = 120
_COLUMN = 10


def _row(report: Report, model: Model, query_set: str) -> SummaryRow:
    metrics = {
        metric: spread([run.metrics[query_set][metric] for run in model.runs])
        for metric in model.runs[0].metrics[query_set]
    }
    passes, seconds = _cost(model)
    base = report.model(report.baseline) if report.baseline else None
    base_passes, base_seconds = _cost(base) if base else (None, None)
    main = metrics.get(report.main_metric)
    return SummaryRow(
        model=model.name,
        is_baseline=model is base,
        is_featured=model is report.featured_model,
        seeds=len(model.runs),
        metrics=metrics,
        ratio=_over(main.mean if main else None, _main(report, base, query_set)),
        passes=passes,
        passes_ratio=_over(passes, base_passes),
        seconds=seconds,
        seconds_ratio=_over(seconds, base_seconds),
    )


def _cost(model: Model) -> tuple[float, float]:
    """Encoder passes and seconds of training, mean over seeds."""
    passes = spread([run.encoder_passes for run in model.runs]).mean
    return passes, spread([run.seconds for run in model.runs]).mean


def _main(report: Report, model: Model | None, query_set: str) -> float | None:
    if model is None or report.main_metric not in model.runs[0].metrics.get(query_set, {}):
        return None
    return spread([run.metrics[query_set][report.main_metric] for run in model.runs]).mean


def _over(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _beside(value: float | None) -> str:
    return f" ({fmt.ratio(value)})" if value else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
