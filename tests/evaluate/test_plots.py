"""Figures are valid SVG, the same for the same numbers, and refuse what cannot be drawn."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from graphrise.errors import DataError
from graphrise.evaluate import plots
from graphrise.evaluate.figure import BASELINE_COLOUR, INK, PALETTE, model_styles


def drawn(svg):
    """The SVG as text, checked to be one."""
    assert ET.fromstring(svg).tag.endswith("svg")
    return svg.decode().lower()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_figure(models, theme):
    figures = [
        plots.learning_curve(models, "loss", "plain", theme),
        plots.learning_curve(models, "recall@1", "plain", theme, share=True),
        plots.margin_plot(models, "plain", theme),
        plots.metric_bars(models, "far", "recall@1", "plain", theme),
        plots.degree_histogram([4, 5, 1], theme),
    ]
    for svg in map(drawn, figures):
        assert INK[theme].lower() in svg
    for svg in map(drawn, figures[:4]):
        assert BASELINE_COLOUR.lower() in svg
        assert PALETTE[0].lower() in svg


def test_same_numbers_same_bytes(models):
    assert plots.learning_curve(models) == plots.learning_curve(models)


def test_single_seed_and_single_point(models):
    run = replace(models[0].runs[0], curve=[{"passes": 5, "loss": 1.0}])
    one = [replace(models[0], runs=[run])]
    drawn(plots.learning_curve(one))
    drawn(plots.margin_plot(one))
    drawn(plots.metric_bars(one, "far", "recall@1"))


def test_mean_over_the_passes_all_seeds_reached(models):
    runs = [
        replace(models[0].runs[0], curve=[{"passes": p, "loss": p} for p in (0, 10, 20)]),
        replace(models[0].runs[1], curve=[{"passes": p, "loss": 3 * p} for p in (5, 15)]),
    ]
    passes, mean = plots._mean_line([s for r in runs if (s := plots._series(r, "loss"))])
    assert passes.tolist() == [10]
    assert mean.tolist() == [20]


@pytest.mark.parametrize("highest", [0, 1, 40, 500])
def test_degrees_of_any_range(highest):
    drawn(plots.degree_histogram([0] * highest + [7]))


def test_colours():
    names = [f"m{i}" for i in range(8)]
    styles = model_styles(names, "m3")
    assert styles["m3"] == (BASELINE_COLOUR, "-")
    assert len(set(styles.values())) == 8


def test_refusals(models):
    with pytest.raises(DataError, match="no training point holds 'moon'"):
        plots.learning_curve(models, "moon")
    bare = [replace(models[0], runs=[replace(models[0].runs[0], margin_curve=None)])]
    with pytest.raises(DataError, match="no run has a margin curve"):
        plots.margin_plot(bare)
    with pytest.raises(DataError, match="no model has mAP"):
        plots.metric_bars(models, "far", "mAP")
    with pytest.raises(DataError, match="no node"):
        plots.degree_histogram([0, 0])
