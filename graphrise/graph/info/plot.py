"""The degree distribution of a graph as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphrise.data.files import whole_file
from graphrise.errors import ConfigError, DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# As in the report's figures (graphrise.evaluate.figure), which are a layer above.
BARS, ISOLATED, INK, GRID = "#0072B2", "#8A8A8A", "#22262B", "#D9DDE2"
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "svg.fonttype": "path",
    # A fixed salt: the same numbers give the same bytes.
    "svg.hashsalt": "graphrise",
}


def plot_format(path: Path) -> str:
    """`png` or `svg`, from the ending.

    Raises:
        ConfigError: Another ending.
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in ("png", "svg"):
        raise ConfigError(f"{path}: a plot is written as .png or .svg")
    return ending


def plot_degrees(info: dict[str, Any], path: Path) -> None:
    """Draw how many nodes have how many neighbours, both on logarithmic scales.

    Bins are powers of two; isolated nodes, for which a logarithmic scale has no place, stand left
    of them.

    Args:
        info: From `graph_info`.
        path: File to write, .png or .svg.

    Raises:
        ConfigError: Another ending.
        DataError: There is no node, or the self-check left nothing to count.
    """
    import matplotlib
    from matplotlib.figure import Figure

    ending = plot_format(path)
    if not info.get("degree"):
        why = "; ".join(info["problems"]) or "it has no nodes"
        raise DataError(f"the graph has no degree distribution to draw: {why}")
    with matplotlib.rc_context(STYLE):
        # Figure without pyplot: no window system, no global state, safe in threads.
        figure = Figure(figsize=(4.8, 3.3), layout="constrained")
        _draw(figure.add_subplot(), info["degree"])
        with whole_file(path) as temporary:
            # No date, for the same reason as the salt.
            metadata = {"Date": None} if ending == "svg" else None
            figure.savefig(temporary, format=ending, dpi=200, metadata=metadata)


def _draw(axes: Axes, degree: dict[str, Any]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    isolated, *bins = degree["histogram"]
    axes.set_xscale("log")
    axes.set_yscale("log")
    if isolated["nodes"]:
        axes.bar(0.5, isolated["nodes"], width=0.28, color=ISOLATED, alpha=0.85)
    lows = [b["from"] for b in bins]
    # A bin ends where the next begins; a gap of the ground's colour tells them apart.
    axes.bar(
        lows, [b["nodes"] for b in bins], width=lows, align="edge",
        color=BARS, alpha=0.85, edgecolor="white", linewidth=0.8,
    )  # fmt: skip
    end = 2 * lows[-1] if lows else 1
    base = 2 if len(bins) <= 8 else 10
    ticks = [base**k for k in range(64) if base**k <= end and lows]
    axes.set_xticks([0.5, *ticks], ["0", *map(_short, ticks)])
    axes.set_xlim(0.33, max(end, 4))
    axes.xaxis.set_minor_locator(NullLocator())
    most = max(b["nodes"] for b in degree["histogram"])
    # From below 1, so that one node has a height.
    axes.set_ylim(0.6, 2 * most)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 100 else (1,)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(_short)
    axes.set_title("nodes by number of neighbours")
    axes.set_xlabel(f"neighbours (median {degree['median']:,}, mean {degree['mean']:,.1f})")


def _short(value: float, _position: float = 0) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
