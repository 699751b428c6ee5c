"""Which figures a report has, drawn for a page or written as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graphrise.data.files import whole_file
from graphrise.evaluate import format as fmt
from graphrise.evaluate import plots, table
from graphrise.evaluate.figure import Theme
from graphrise.evaluate.report_data import Report


@dataclass(frozen=True)
class Figure:
    """One figure of a report: a file name without ending, how to draw it (SVG), what it shows."""

    name: str
    draw: Callable[[Theme], bytes]
    alt: str


def bars(report: Report) -> list[Figure]:
    """The main metric of every model, a figure a query set; none for a single model."""
    metric = report.main_metric
    found = []
    for query_set, rows in table.summary_rows(report).items():
        means = [f"{r.model} {fmt.percent(r.metrics.get(metric))}" for r in rows]
        # One bar says no more than the table does.
        if len(rows) > 1 and any(metric in row.metrics for row in rows):
            alt = f"{metric} on {query_set}, percent: {', '.join(means)}"
            name = _file_name(f"{metric}-{query_set}")
            found.append(Figure(name, lambda theme, s=query_set: _bar(report, s, theme), alt))
    return found


def _file_name(text: str) -> str:
    """Letters, digits and a few marks only: a set may be called `path=a/b`."""
    return "".join(c if c.isalnum() or c in "@=-_" else "-" for c in text)


def _bar(report: Report, query_set: str, theme: Theme) -> bytes:
    return plots.metric_bars(
        report.models, query_set, report.main_metric, report.baseline, theme=theme
    )


def curves(report: Report) -> list[Figure]:
    """Loss and, where runs were validated, the main metric during training."""
    keys = {key for model in report.models for run in model.runs for p in run.curve for key in p}
    return [
        Figure(
            f"curve-{key}",
            lambda theme, k=key: plots.learning_curve(
                report.models, k, report.baseline, theme, share=k != "loss"
            ),
            f"{key} of every model against encoder passes",
        )
        for key in ("loss", report.main_metric)
        if key in keys
    ]


def margins(report: Report) -> list[Figure]:
    """Triplet recall against the margin, if a run has it."""
    if not any(run.margin_curve for model in report.models for run in model.runs):
        return []
    return [
        Figure(
            "triplet-margin",
            lambda theme: plots.margin_plot(report.models, report.baseline, theme),
            "share of triplets ranked right by at least a margin, against the margin",
        )
    ]


def degrees(report: Report) -> list[Figure]:
    """Nodes by number of neighbours, if the report knows the graph."""
    if not report.degree_counts:
        return []
    return [
        Figure(
            "degrees",
            lambda theme: plots.degree_histogram(report.degree_counts, theme),
            "histogram of the number of neighbours of the graph's nodes",
        )
    ]


def write_figures(folder: Path, report: Report) -> list[Path]:
    """Write every figure as a file for a white page: SVG, and `retrieval.png` if there is a grid.

    Args:
        folder: Made if missing; figures of an earlier report of these names are replaced.
        report: What to draw.

    Returns:
        The files.
    """
    content = {
        f"{figure.name}.svg": figure.draw("light")
        for group in (bars, curves, margins, degrees)
        for figure in group(report)
    }
    if report.retrieval_grid:
        content["retrieval.png"] = report.retrieval_grid
    for name, data in content.items():
        with whole_file(folder / name) as temporary:
            temporary.write_bytes(data)
    return [folder / name for name in content]
