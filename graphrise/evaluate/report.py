"""Writes a report as ONE HTML file: no script, no network, images inside."""

from __future__ import annotations

import json
import os
import tempfile
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graphrise.evaluate import format as fmt
from graphrise.evaluate import plots, table
from graphrise.evaluate.figure import Theme
from graphrise.evaluate.headline import headline
from graphrise.evaluate.report_data import Report


@dataclass(frozen=True)
class _Picture:
    """One figure, drawn for light and for dark pages, as data URIs."""

    light: str
    dark: str
    alt: str


def write_report(path: str | os.PathLike[str], report: Report) -> Path:
    """Renders the report and puts it in place at once: readers see the old file or the new one.

    Args:
        path: The HTML file to write; its folder is made if it does not exist.
        report: What to show. Parts without data (curves, grid, graph) are left out of the page.

    Returns:
        The path of the file.
    """
    target = Path(path)
    text = render_report(report)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp makes the file private; a report is for whoever may read the folder.
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    return target


def render_report(report: Report) -> str:
    """The report as the text of one self-contained HTML page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("graphrise.evaluate", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tables = [
        {
            "name": name,
            "caption": table.caption(report.query_set(name)),
            "is_test": name == report.test_set,
            "header": table.header_cells(report, name),
            "rows": [(row, table.row_cells(report, name, row)) for row in rows],
        }
        for name, rows in table.summary_rows(report).items()
    ]
    return environment.get_template("report.html.j2").render(
        report=report,
        headline=headline(report),
        unbroken=_unbroken,
        tables=tables,
        paragraphs=[part for part in report.intro.split("\n\n") if part.strip()],
        bars=_bars(report),
        curves=_curves(report),
        margins=_margins(report),
        degrees=_degrees(report),
        grid=_uri(report.retrieval_grid, "png") if report.retrieval_grid else None,
        statistics=[(name, fmt.statistic(v)) for name, v in report.graph_statistics.items()],
        settings=json.dumps(dict(report.settings), indent=2, default=str, ensure_ascii=False),
    )


def _bars(report: Report) -> list[_Picture]:
    metric = report.main_metric
    pictures = []
    for query_set, rows in table.summary_rows(report).items():
        means = [f"{r.model} {fmt.percent(r.metrics.get(metric))}" for r in rows]
        # One bar says no more than the table does.
        if len(rows) > 1 and any(metric in row.metrics for row in rows):
            alt = f"{metric} on {query_set}, percent: {', '.join(means)}"
            pictures.append(_picture(lambda theme, s=query_set: _bar(report, s, theme), alt))
    return pictures


def _bar(report: Report, query_set: str, theme: Theme) -> bytes:
    return plots.metric_bars(
        report.models, query_set, report.main_metric, report.baseline, theme=theme
    )


def _curves(report: Report) -> list[_Picture]:
    """Loss and, where runs were validated, the main metric during training."""
    keys = {key for model in report.models for run in model.runs for p in run.curve for key in p}
    return [
        _picture(
            lambda theme, k=key: plots.learning_curve(
                report.models, k, report.baseline, theme, share=k != "loss"
            ),
            f"{key} of every model against encoder passes",
        )
        for key in ("loss", report.main_metric)
        if key in keys
    ]


def _margins(report: Report) -> _Picture | None:
    if not any(run.margin_curve for model in report.models for run in model.runs):
        return None
    return _picture(
        lambda theme: plots.margin_plot(report.models, report.baseline, theme),
        "share of triplets ranked right by at least a margin, against the margin",
    )


def _degrees(report: Report) -> _Picture | None:
    if not report.degree_counts:
        return None
    return _picture(
        lambda theme: plots.degree_histogram(report.degree_counts, theme),
        "histogram of the number of neighbours of the graph's nodes",
    )


def _picture(draw: Callable[[Theme], bytes], alt: str) -> _Picture:
    return _Picture(_uri(draw("light"), "svg+xml"), _uri(draw("dark"), "svg+xml"), alt)


def _unbroken(text: str) -> str:
    """Keeps `40.7 ± 0.4 %` on one line."""
    for spaced in (" \N{PLUS-MINUS SIGN} ", " %"):
        text = text.replace(spaced, spaced.replace(" ", "\N{NO-BREAK SPACE}"))
    return text


def _uri(image: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(image).decode()}"
