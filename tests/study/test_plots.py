"""A study's plots are valid files, the same for the same numbers, and hold what was asked."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from graphrise.evaluate.figure import BASELINE_COLOUR, INK, PALETTE
from graphrise.study.curves import Curve
from graphrise.study.effects import Effect, EffectPanel
from graphrise.study.plan import References
from graphrise.study.plots import MOST_LINES, curves_plot, effect_plot
from graphrise.study.stats import paired

FAINT = {"light": "#d3d7dc", "dark": "#464d55"}


def effect(name, *seeds, control=False, note=""):
    return Effect(name, paired(seeds, [0.0] * len(seeds)), seeds, control, note)


def panel(*effects):
    return EffectPanel("", "plain", "split=query", effects)


def curve(name, points=4, seeds=3):
    at = np.arange(1.0, points + 1)
    return Curve(name, at, at / 10, at / 20, at / 8, seeds)


def drawn(svg):
    assert ET.fromstring(svg).tag.endswith("svg")
    return svg.decode().lower()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_plots(theme):
    rows = panel(effect("a", 0.1, 0.12), effect("a, shuffled", 0.01, -0.01, control=True))
    lines = [curve("a"), curve("plain")]
    for svg in (
        effect_plot(rows, theme),
        curves_plot(lines, "passes", "split=val", References("plain"), theme),
    ):
        text = drawn(svg)
        assert INK[theme].lower() in text
        assert PALETTE[0].lower() in text
        assert BASELINE_COLOUR.lower() in text  # the control, and the baseline


def test_only_controls_are_grey():
    assert BASELINE_COLOUR.lower() not in drawn(effect_plot(panel(effect("a", 0.1, 0.12))))


def test_same_numbers_same_bytes():
    rows = panel(effect("a", 0.1, 0.12))
    assert effect_plot(rows) == effect_plot(rows)
    assert effect_plot(rows, kind="png") == effect_plot(rows, kind="png")


def test_png_on_white():
    assert effect_plot(panel(effect("a", 0.1)), kind="png").startswith(b"\x89PNG")
    assert curves_plot([curve("a")], "seconds", "split=val", kind="png").startswith(b"\x89PNG")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("more", [0, 1, 5])
def test_lines_beyond_the_most_are_faint(theme, more):
    curves = [curve(f"run {n}") for n in range(MOST_LINES + more)]
    text = drawn(curves_plot(curves, "passes", "split=val", theme=theme))
    assert (FAINT[theme] in text) == (more > 0)
    with_baseline = [*curves, curve("plain")]
    text = drawn(curves_plot(with_baseline, "passes", "split=val", References("plain"), theme))
    assert (FAINT[theme] in text) == (more > 0)
    assert all(colour.lower() in text for colour in PALETTE)


@pytest.mark.parametrize(
    "name", [r"$\price$ and 6_", "_hidden", "a" * 200, "many words " * 20, "100 % \\ {x}"]
)
def test_any_name_can_be_drawn(name):
    drawn(effect_plot(panel(effect(name, 0.1, 0.2, note="1 of 2 settings, 2 of 3 seeds"))))
    drawn(curves_plot([curve(name)], "seconds", name))


def test_a_name_with_an_underscore_is_in_the_legend():
    with_it, without = (
        drawn(curves_plot([curve(name)], "passes", "split=val")) for name in ("_a", "a")
    )
    assert with_it.count("<g id=") >= without.count("<g id=")


@pytest.mark.parametrize("seeds", [(0.1,), (0.0,), (0.0, 0.0), (0.001, 0.3), (-0.2, -0.2)])
def test_few_seeds_and_wide_intervals(seeds):
    drawn(effect_plot(panel(effect("a", *seeds), effect("b", 0.01))))


def test_one_probe_of_one_seed():
    drawn(curves_plot([curve("a", points=1, seeds=1)], "passes", "split=val"))
