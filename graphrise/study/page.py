"""A study as ONE HTML file: no script, no network, plots inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from graphrise.data.files import whole_file
from graphrise.study import page_data as data
from graphrise.study.figures import Figure
from graphrise.study.plan import PlannedRun
from graphrise.study.spec import StudySpec
from graphrise.study.storage import Try
from graphrise.study.summary import Summary
from graphrise.study.tabular import Table


def write_page(
    path: Path,
    spec: StudySpec,
    runs: Sequence[PlannedRun],
    tries: Mapping[tuple[str, int], Try],
    summary: Summary,
    scores: Table,
    times: Table | None = None,
    effects: Sequence[Figure] = (),
    curves: Sequence[Figure] = (),
    command: str = "",
) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: The HTML file.
        spec: The study.
        runs: The plan.
        tries: The last try of each run.
        summary: What the tables are of.
        scores: The table of scores.
        times: That at the baseline's time; None without one.
        effects: Plots of differences.
        curves: Plots over training.
        command: What goes on with the study, or makes it again.

    Returns:
        `path`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("graphrise.study", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    common, texts = data.run_texts(runs)
    text = environment.get_template("page.html.j2").render(
        name=spec.name,
        state=state(summary),
        about=data.about(spec, runs, summary.references),
        axes=bool(spec.axes),
        command=command,
        scores=scores,
        times=times,
        effects=[_picture(figure) for figure in effects],
        curves=[_picture(figure) for figure in curves],
        failures=data.failures(runs, tries),
        runs=texts,
        common=common,
        versions=data.versions_of(tries),
    )
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def state(summary: Summary) -> str:
    """How far the study is: a sentence."""
    left = len(summary.missing)
    if not left:
        return f"All {summary.planned} trainings are finished."
    failed = sum(why.startswith("failed") for why in summary.missing.values())
    of_them = f", {failed} of them failed" if failed else ""
    missing = f"{left} of {summary.planned} trainings {'is' if left == 1 else 'are'} missing"
    return f"Not finished: {missing}{of_them}; the same command goes on."


def _picture(figure: Figure) -> dict[str, str]:
    """For light and for dark pages, as data URIs."""
    uris = {
        theme: "data:image/svg+xml;base64," + b64encode(figure.draw(theme, "svg")).decode()
        for theme in ("light", "dark")
    }
    return {**uris, "alt": figure.alt}
