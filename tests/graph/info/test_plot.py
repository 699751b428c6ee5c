"""The degree distribution as a file: PNG or SVG, whole or not at all."""

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from graphrise.errors import ConfigError, DataError
from graphrise.graph.info.counts import degree_info
from graphrise.graph.info.plot import BARS, ISOLATED, plot_degrees, plot_format


def info(degrees):
    rowptr = np.concatenate(([0], np.cumsum(degrees))).astype(np.int64)
    return {"degree": degree_info(rowptr), "problems": []}


POWER_LAW = np.random.default_rng(0).pareto(1.2, 3000).astype(int)


@pytest.mark.parametrize("degrees", [POWER_LAW, [1, 2, 1, 0], [0, 0], [8] * 100, [0]], ids=len)
def test_svg_and_png_of_any_range(tmp_path, degrees):
    plot_degrees(info(degrees), tmp_path / "d.svg")
    text = (tmp_path / "d.svg").read_text(encoding="utf-8")
    assert ET.fromstring(text).tag.endswith("svg")
    assert (ISOLATED.lower() in text) == (0 in degrees)
    assert (BARS.lower() in text) == (max(degrees) > 0)
    plot_degrees(info(degrees), tmp_path / "d.PNG")
    image = Image.open(io.BytesIO((tmp_path / "d.PNG").read_bytes()))
    assert image.format == "PNG"
    assert image.size == (960, 660)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.PNG", "d.svg"]


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draws degrees, writes nothing, and gives the axes."""

    def draw(degrees):
        kept = []
        monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: kept.append(figure))
        with pytest.raises(FileNotFoundError):
            plot_degrees(info(degrees), tmp_path / "d.png")
        assert list(tmp_path.iterdir()) == []
        return kept[0].axes[0]

    return draw


def test_bars(drawn):
    axes = drawn([0, 0, 1, 2, 2, 3, 5])
    bars = [(p.get_x(), p.get_width(), p.get_height()) for p in axes.patches]
    assert bars[0][2] == 2
    assert bars[1:] == [(1, 1, 1), (2, 2, 3), (4, 4, 1)]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "1", "2", "4", "8"]
    assert axes.get_xlabel() == "neighbours (median 2, mean 1.9)"
    low, high = axes.get_ylim()
    assert low < 1 < 3 < high


def test_ticks_of_a_wide_range_are_tens(drawn):
    labels = [t.get_text() for t in drawn([1, 70_000]).get_xticklabels()]
    assert labels == ["0", "1", "10", "100", "1K", "10K", "100K"]


def test_same_figures_same_bytes(tmp_path):
    for name in ("a.svg", "b.svg"):
        plot_degrees(info([1, 2, 0]), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_refusals(tmp_path):
    with pytest.raises(ConfigError, match=r"d\.pdf: a plot is written as \.png or \.svg"):
        plot_degrees(info([1]), tmp_path / "d.pdf")
    with pytest.raises(ConfigError, match=r"written as \.png or \.svg"):
        plot_format(tmp_path / "png")
    with pytest.raises(DataError, match="no degree distribution to draw: it has no nodes"):
        plot_degrees(info([]), tmp_path / "d.png")
    with pytest.raises(DataError, match="no degree distribution to draw: rowptr does not start"):
        plot_degrees({"problems": ["rowptr does not start at 0."]}, tmp_path / "d.png")
    assert list(tmp_path.iterdir()) == []
