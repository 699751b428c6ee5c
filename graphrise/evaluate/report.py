"""Writes a report as ONE HTML file: no script, no network, images inside."""

from __future__ import annotations

import json
import os
import tempfile
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graphrise.evaluate import detail_table, figures, table
from graphrise.evaluate import format as fmt
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
            **_by_metric(report, name),
        }
        for name, rows in table.summary_rows(report).items()
    ]
    single = detail_table.single_run(report)
    return environment.get_template("report.html.j2").render(
        report=report,
        headline=headline(report),
        unbroken=_unbroken,
        tables=tables,
        cost=detail_table.cost(single) if single else "",
        metric_header=detail_table.HEADER,
        group_header=detail_table.GROUP_HEADER,
        paragraphs=[part for part in report.intro.split("\n\n") if part.strip()],
        bars=[_picture(f.draw, f.alt) for f in figures.bars(report)],
        curves=[_picture(f.draw, f.alt) for f in figures.curves(report)],
        margins=_first(figures.margins(report)),
        degrees=_first(figures.degrees(report)),
        grid=_uri(report.retrieval_grid, "png") if report.retrieval_grid else None,
        statistics=[(name, fmt.statistic(v)) for name, v in report.graph_statistics.items()],
        settings=json.dumps(dict(report.settings), indent=2, default=str, ensure_ascii=False),
    )


def _by_metric(report: Report, name: str) -> dict[str, object]:
    """What a query set's card shows where the report is of a single run."""
    run = detail_table.single_run(report)
    if run is None:
        return {"metrics": [], "groups": [], "remarks": ""}
    detail = run.details.get(name)
    return {
        "metrics": detail_table.metric_rows(report, run, name),
        "groups": detail_table.group_rows(detail),
        "remarks": detail_table.remarks(detail),
    }


def _first(found: list[figures.Figure]) -> _Picture | None:
    return _picture(found[0].draw, found[0].alt) if found else None


def _picture(draw: Callable[[Theme], bytes], alt: str) -> _Picture:
    return _Picture(_uri(draw("light"), "svg+xml"), _uri(draw("dark"), "svg+xml"), alt)


def _unbroken(text: str) -> str:
    """Keeps `40.7 ± 0.4 %` on one line."""
    for spaced in (" \N{PLUS-MINUS SIGN} ", " %"):
        text = text.replace(spaced, spaced.replace(" ", "\N{NO-BREAK SPACE}"))
    return text


def _uri(image: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(image).decode()}"
