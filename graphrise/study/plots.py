"""A study's plots: effects against a reference, and validation scores over training."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from graphrise.evaluate import format as fmt
from graphrise.evaluate.figure import (
    BASELINE_COLOUR,
    INK,
    PALETTE,
    Theme,
    model_styles,
    new_axes,
    to_svg,
)
from graphrise.study.curves import Against, Curve, foremost
from graphrise.study.effects import Effect, EffectPanel
from graphrise.study.plan import References
from graphrise.study.summary import METRIC

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["svg", "png"]

MOST_LINES = len(PALETTE)
"""Runs in colour in one plot beside the baseline, each in its own; more cannot be told apart."""
_FAINT = {"light": "#D3D7DC", "dark": "#464D55"}
_LINE, _ROW, _GAP = 0.19, 0.2, 0.14
"""Inches: a line of a label, the least room around a row, the room before a run's own group."""


def effect_plot(panel: EffectPanel, theme: Theme = "light", kind: Kind = "svg") -> bytes:
    """Mean differences in points with 95 % intervals, seeds as dots, controls in grey.

    An interval that reaches far beyond the seeds is cut, with an arrow at its end.

    Args:
        panel: What to draw.
        theme: Colours for a light or a dark page.
        kind: SVG in UTF-8, or PNG on white.
    """
    labels = [_label(effect) for effect in panel.effects]
    places, total = _places(panel.effects, labels)
    reference = _wrapped(f"against {panel.reference}, on {panel.test}", 46)
    with new_axes(theme, height=total + 0.95 + _LINE * len(reference.splitlines())) as made:
        figure, axes = made
        left, right = _limits(panel.effects)
        axes.axvline(0, color=INK[theme], linewidth=1)
        for place, effect in zip(places, panel.effects, strict=True):
            colour = BASELINE_COLOUR if effect.control else PALETTE[0]
            _interval(axes, effect, place, colour, (left, right))
            seeds = 100 * np.array(effect.seeds)
            axes.plot(
                seeds, np.full(seeds.size, place + 0.09), "o", color=INK[theme], ms=3, alpha=0.7
            )
            axes.text(
                1.06, place, f"{100 * effect.difference.mean:+.1f}", fontsize=10, va="center",
                transform=axes.get_yaxis_transform(),
            )  # fmt: skip
        axes.set_yticks(places, labels)
        axes.grid(axis="y", visible=False)
        axes.set_ylim(total, 0)
        axes.set_xlim(left, right)
        # Long names leave narrow axes: a label and a title from the right have the names' room too.
        axes.set_xlabel(reference, loc="right")
        title = f"difference in {METRIC}, points"
        axes.set_title(f"{panel.name}\n{title}" if panel.name else title, loc="right")
        return _image(figure, kind)


def _label(effect: Effect) -> str:
    name = _wrapped(effect.name, 24)
    return f"{name}\n({_wrapped(effect.note, 24)})" if effect.note else name


def _wrapped(text: str, width: int) -> str:
    """In lines that end at commas where they can; dollar signs as they are, not as formulas."""
    parts = [part.replace(" ", "\xa0") if len(part) < width else part for part in text.split(", ")]
    return textwrap.fill(", ".join(parts), width).replace("\xa0", " ").replace("$", r"\$")


def _places(effects: Sequence[Effect], labels: Sequence[str]) -> tuple[list[float], float]:
    """Where rows lie, in inches from the top, and where they end: as much room as labels need."""
    places, end = [], 0.0
    for effect, label in zip(effects, labels, strict=True):
        room = _ROW + _LINE * len(label.splitlines())
        end += 0 if effect.control else _GAP
        places.append(end + room / 2)
        end += room
    return places, end + _GAP


def _limits(effects: Sequence[Effect]) -> tuple[float, float]:
    """From the lowest to the highest seed and 0, in points, and room for what lies beyond."""
    seeds = [100 * value for effect in effects for value in effect.seeds]
    low, high = min(0.0, *seeds), max(0.0, *seeds)
    room = 0.6 * max(high - low, 1e-3)
    ends = [(e.difference.low, e.difference.high) for e in effects]
    lowest = min([low, *(100 * a for a, _ in ends if a is not None)])
    highest = max([high, *(100 * b for _, b in ends if b is not None)])
    edge = 0.06 * max(high - low, 1e-3)
    return max(lowest, low - room) - edge, min(highest, high + room) + edge


def _interval(
    axes: Axes, effect: Effect, place: float, colour: str, limits: tuple[float, float]
) -> None:
    found = effect.difference
    axes.plot(100 * found.mean, place, "D", color=colour, markersize=6.5)
    if found.low is None or found.high is None:
        return
    low, high = max(100 * found.low, limits[0]), min(100 * found.high, limits[1])
    axes.plot([low, high], [place, place], color=colour, linewidth=2.2)
    for end, whole, mark in ((low, 100 * found.low, "<"), (high, 100 * found.high, ">")):
        shape = "|" if end == whole else mark
        axes.plot(end, place, shape, color=colour, markersize=7, markeredgewidth=2, clip_on=False)


def curves_plot(
    curves: Sequence[Curve],
    against: Against,
    validation: str,
    references: References | None = None,
    theme: Theme = "light",
    kind: Kind = "svg",
) -> bytes:
    """Scores over training: mean over seeds, band from the lowest to the highest seed.

    Args:
        curves: Of all runs; all but `MOST_LINES` (see `foremost`) are drawn faint, without names.
        against: What they are drawn against.
        validation: Query set.
        references: The baseline is drawn in grey, the upper one in colour whatever its place; None:
            there are none.
        theme: Colours for a light or a dark page.
        kind: SVG in UTF-8, or PNG on white.
    """
    references = references or References()
    names = [curve.name for curve in curves]
    named = foremost(names, references, MOST_LINES + (references.baseline in names))
    styles = model_styles(named, references.baseline)
    # Labels that begin with an underscore would not be in the legend.
    labels = {name: " " * name.startswith("_") + _wrapped(name, 48) for name in named}
    unit, label = _unit(against, max(curve.at[-1] for curve in curves))
    rest = len(curves) - len(named)
    lines = sum(len(label.splitlines()) for label in labels.values()) + (rest > 0)
    with new_axes(theme, height=3.0 + 0.2 * lines) as (figure, axes):
        for curve in sorted(curves, key=lambda one: one.name in named):  # the faint ones below
            if curve.name not in named:
                axes.plot(curve.at / unit, 100 * curve.mean, color=_FAINT[theme], lw=1.2)
                continue
            colour, dash = styles[curve.name]
            if curve.seeds > 1:
                axes.fill_between(
                    curve.at / unit, 100 * curve.low, 100 * curve.high, color=colour, alpha=0.15,
                    linewidth=0,
                )  # fmt: skip
            axes.plot(
                curve.at / unit, 100 * curve.mean, color=colour, linestyle=dash, linewidth=2,
                label=labels[curve.name], marker="o" if curve.at.size == 1 else None,
            )  # fmt: skip
        if rest:
            axes.plot([], [], color=_FAINT[theme], lw=1.2, label=f"{rest} more, see the table")
        axes.set_title(_wrapped(f"{METRIC} on {validation}, %", 46))
        axes.set_xlabel(label)
        if against == "passes":
            axes.xaxis.set_major_formatter(lambda value, _: fmt.count(value))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left")
        return _image(figure, kind)


def _unit(against: Against, longest: float) -> tuple[float, str]:
    """What values are divided by, and the axis' label."""
    if against == "passes":
        return 1, "encoder passes"
    size, name = (1, "s") if longest < 180 else (60, "min") if longest < 10_800 else (3600, "h")
    return size, f"wall time of training, {name}"


def _image(figure: Figure, kind: Kind) -> bytes:
    if kind == "svg":
        return to_svg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, facecolor="white")
    return buffer.getvalue()
