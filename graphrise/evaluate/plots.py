"""The figures of a report as SVG: learning curves, recall against margin, bars, node degrees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphrise.errors import DataError
from graphrise.evaluate.figure import (
    INK,
    PALETTE,
    Theme,
    legend_below,
    model_styles,
    new_axes,
    to_svg,
)
from graphrise.evaluate.report_data import Model, RunResult
from graphrise.evaluate.spread import spread


def learning_curve(
    models: Sequence[Model],
    key: str = "loss",
    baseline: str | None = None,
    theme: Theme = "light",
    share: bool = False,
) -> bytes:
    """One value of training against encoder passes: a colour a model, thin seeds, thick mean.

    The mean is drawn over the passes that all seeds of a model reached.

    Args:
        models: Those without a point that has `key` are left out of the figure.
        key: A key of the points of `RunResult.curve`.
        baseline: Name of the model drawn in grey.
        theme: Colours for a light or a dark page.
        share: The values are shares in 0..1, drawn as percent.

    Returns:
        SVG in UTF-8.

    Raises:
        DataError: No model has a point with `key`.
    """
    lines = {m.name: [s for run in m.runs if (s := _series(run, key)) is not None] for m in models}
    lines = {name: seeds for name, seeds in lines.items() if seeds}
    if not lines:
        raise DataError(f"no training point holds {key!r}: there is no learning curve to draw")
    styles = model_styles([model.name for model in models], baseline)
    with new_axes(theme, height=_height(len(lines))) as (figure, axes):
        for name, seeds in lines.items():
            colour, dash = styles[name]
            for x, y in seeds if len(seeds) > 1 else []:
                axes.plot(x, y, color=colour, linewidth=0.7, alpha=0.45)
            x, y = _mean_line(seeds)
            axes.plot(
                x, y, color=colour, linestyle=dash, linewidth=2.2, label=name,
                marker="o" if len(x) == 1 else None,
            )  # fmt: skip
        axes.set_title(f"{key}, %" if share else key)
        axes.set_xlabel("encoder passes")
        axes.xaxis.set_major_formatter(_thousands)
        if share:
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
        legend_below(figure, axes)
        return to_svg(figure)


def margin_plot(
    models: Sequence[Model], baseline: str | None = None, theme: Theme = "light"
) -> bytes:
    """Recall of triplets against the margin: mean over seeds, band from lowest to highest seed.

    Args:
        models: Those without a margin curve are left out; seeds of a model share their margins.
        baseline: Name of the model drawn in grey.
        theme: Colours for a light or a dark page.

    Returns:
        SVG in UTF-8.

    Raises:
        DataError: No model has a margin curve, or the seeds of a model differ in margins.
    """
    curves = {m.name: [r.margin_curve for r in m.runs if r.margin_curve] for m in models}
    curves = {name: seeds for name, seeds in curves.items() if seeds}
    if not curves:
        raise DataError("no run has a margin curve to draw")
    styles = model_styles([model.name for model in models], baseline)
    with new_axes(theme, height=_height(len(curves))) as (figure, axes):
        for name, seeds in curves.items():
            margins = seeds[0].margins
            if any(seed.margins != margins for seed in seeds):
                raise DataError(f"the seeds of model {name!r} have different margins")
            recall = 100 * np.array([seed.recall for seed in seeds])
            colour, dash = styles[name]
            if len(seeds) > 1:
                axes.fill_between(
                    margins, recall.min(0), recall.max(0), color=colour, alpha=0.18, linewidth=0
                )
            area = spread([seed.area for seed in seeds]).mean
            axes.plot(
                margins, recall.mean(0), color=colour, linestyle=dash, linewidth=2.2,
                label=f"{name} ({area:.3f})",
            )  # fmt: skip
        axes.set_title("triplet recall, %")
        axes.set_xlabel("margin")
        axes.set_ylim(bottom=0)
        legend_below(figure, axes)
        return to_svg(figure)


def metric_bars(
    models: Sequence[Model],
    query_set: str,
    metric: str,
    baseline: str | None = None,
    theme: Theme = "light",
) -> bytes:
    """A metric of every model as bars: mean, standard deviation as a whisker, seeds as dots.

    Args:
        models: Those that were not scored on the query set are left out.
        query_set: Key of `RunResult.metrics`.
        metric: Key inside it; a share in 0..1, drawn as percent.
        baseline: Name of the model drawn in grey.
        theme: Colours for a light or a dark page.

    Returns:
        SVG in UTF-8.

    Raises:
        DataError: No model has the metric on the query set.
    """
    scored = {
        model.name: spread([100 * run.metrics[query_set][metric] for run in model.runs])
        for model in models
        if metric in model.runs[0].metrics.get(query_set, {})
    }
    if not scored:
        raise DataError(f"no model has {metric} on query set {query_set!r}")
    styles = model_styles([model.name for model in models], baseline)
    with new_axes(theme, height=0.9 + 0.42 * len(scored)) as (figure, axes):
        top = max(max(value.values) for value in scored.values())
        for row, (name, value) in enumerate(scored.items()):
            axes.barh(row, value.mean, height=0.68, color=styles[name][0], alpha=0.85)
            end = max(max(value.values), value.mean + (value.sd or 0))
            if value.sd is not None:
                axes.errorbar(value.mean, row, xerr=value.sd, color=INK[theme], capsize=3, lw=1.3)
                rows = np.full(len(value.values), row)
                axes.plot(value.values, rows, "o", color=INK[theme], markersize=3, alpha=0.8)
            axes.text(end + 0.02 * top, row, f"{value.mean:.1f}", va="center", fontsize=10)
        axes.set_yticks(range(len(scored)), list(scored))
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlim(0, max(top, 1e-9) * 1.15)
        # Long model names leave narrow axes: a title from the right has the names' room too.
        axes.set_title(f"{query_set}: {metric}, %", loc="right")
        return to_svg(figure)


def degree_histogram(degree_counts: Sequence[int], theme: Theme = "light") -> bytes:
    """How many nodes have how many neighbours; degrees above 40 are gathered in wider bins.

    Args:
        degree_counts: Nodes of degree 0, 1, 2, ...
        theme: Colours for a light or a dark page.

    Returns:
        SVG in UTF-8.

    Raises:
        DataError: There is no node, or a count is negative.
    """
    from matplotlib.ticker import MaxNLocator

    counts = np.asarray(degree_counts)
    if counts.ndim != 1 or counts.sum() <= 0 or counts.min() < 0:
        raise DataError("degree_counts holds no node or a negative count")
    highest = int(counts.nonzero()[0][-1])
    width = highest // 40 + 1
    starts = np.arange(0, highest + 1, width)
    nodes = np.add.reduceat(counts[: highest + 1], starts)
    with new_axes(theme, height=2.8) as (figure, axes):
        centres = starts + (width - 1) / 2
        axes.bar(centres, nodes, width=0.85 * width, color=PALETTE[0], alpha=0.85)
        axes.grid(axis="x", visible=False)
        axes.set_title("nodes by number of neighbours")
        axes.set_xlabel("neighbours" if width == 1 else f"neighbours, in bins of {width}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(_thousands)
        return to_svg(figure)


def _series(run: RunResult, key: str) -> tuple[np.ndarray, np.ndarray] | None:
    points = [(point["passes"], point[key]) for point in run.curve if key in point]
    if not points:
        return None
    x, y = np.array(points, dtype=np.float64).T
    return x, y


def _mean_line(seeds: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean over seeds on the first seed's passes, where all seeds have points on both sides."""
    start, stop = max(x[0] for x, _ in seeds), min(x[-1] for x, _ in seeds)
    passes = seeds[0][0]
    passes = passes[(passes >= start) & (passes <= stop)]
    return passes, np.mean([np.interp(passes, x, y) for x, y in seeds], axis=0)


def _height(models: int) -> float:
    return 3.0 + 0.22 * ((models + 1) // 2 if models > 2 else models)


def _thousands(value: float, _position: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
