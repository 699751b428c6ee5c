"""How every figure looks: palette, line styles, one theme for light and one for dark pages."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Theme = Literal["light", "dark"]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours for all kinds of colour vision, without the pale yellow and black."""

BASELINE_COLOUR = "#8A8A8A"
RIGHT_COLOUR = "#009E73"
INK = {"light": "#22262B", "dark": "#E3E6EA"}
_GRID = {"light": "#D9DDE2", "dark": "#3A4048"}
_DASHES = ("-", "--", "-.", ":")


def model_styles(names: Sequence[str], baseline: str | None = None) -> dict[str, tuple[str, str]]:
    """Model -> (colour, line style): grey for the baseline, one colour each for the others.

    Line styles alternate, so that lines can be told apart without colour too.
    """
    styles = {}
    others = [name for name in names if name != baseline]
    for place, name in enumerate(others):
        styles[name] = (PALETTE[place % len(PALETTE)], _DASHES[place % len(_DASHES)])
    if baseline in names:
        styles[baseline] = (BASELINE_COLOUR, "-")
    return styles


@contextmanager
def new_axes(
    theme: Theme, height: float = 3.3, width: float = 4.8
) -> Iterator[tuple[Figure, Axes]]:
    """One pair of axes on a transparent figure, in inches; sizes fit a phone's width."""
    import matplotlib
    from matplotlib.figure import Figure

    ink, grid = INK[theme], _GRID[theme]
    settings: dict[Any, Any] = {
        "font.size": 11,
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": grid,
        "axes.titlesize": 11.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": grid,
        "grid.linewidth": 0.7,
        "xtick.color": ink,
        "ytick.color": ink,
        "legend.frameon": False,
        "legend.fontsize": 10,
        "svg.fonttype": "path",
        # A fixed salt and no date: the same numbers give the same bytes.
        "svg.hashsalt": "graphrise",
    }
    with matplotlib.rc_context(settings):
        # Figure without pyplot: no window system, no global state, safe in threads.
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.add_subplot()


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG text in UTF-8, transparent."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def legend_below(figure: Figure, axes: Axes) -> None:
    """A legend under the axes, in two columns if there are several models."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if len(labels) > 2 and max(map(len, labels)) <= 24 else 1
    figure.legend(handles, labels, loc="outside lower left", ncols=columns)
