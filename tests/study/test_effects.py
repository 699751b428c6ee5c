"""Effects of listed runs and of axes: what is held against what, and what is left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphrise.study.effects import axis_effects, listed_effects, whole_block, with_controls_beside
from graphrise.study.plan import plan

LISTED = [
    {"name": "plain"},
    {"name": "spread, shuffled graph", "set": {"labels.spread": True, "shuffle_graph": 0}},
    {"name": "spread", "set": {"labels.spread": True}},
]
GRID = {"labels.spread": [False, True], "edges.alpha": [0, 0.5, 1]}


@pytest.fixture
def listed(spec):
    return plan(spec(axes=None, runs=LISTED, baseline="plain", seeds=3))


@pytest.fixture
def grid(spec):
    return plan(spec(axes=GRID, baseline=None, seeds=3))


def score(run):
    """Sum of what each axis gives, and of the seed, which cancels in pairs."""
    spread, alpha = run.axes["labels.spread"], run.axes["edges.alpha"]
    return 0.3 + 0.1 * spread + 0.02 * alpha + 0.04 * run.seed


def test_listed_runs_are_paired_by_seed_with_the_baseline(listed, finished):
    scores = {
        "plain": (0.5, 0.52, 0.54), "spread": (0.6, 0.63, 0.63),
        "spread, shuffled graph": (0.5, 0.52, 0.55),
    }  # fmt: skip
    panel = listed_effects(listed, finished(listed, lambda r: scores[r.name][r.seed]), "plain")
    assert panel is not None
    assert (panel.name, panel.reference, panel.test) == ("", "plain", "split=query")
    spread, control = panel.effects
    assert (spread.name, spread.control, spread.note) == ("spread", False, "")
    assert (control.name, control.control) == ("spread, shuffled graph", True)
    assert spread.seeds == pytest.approx((0.1, 0.11, 0.09))
    assert spread.difference.mean == pytest.approx(0.1)
    assert spread.difference.low == pytest.approx(0.1 - 4.3027 * 0.01 / 3**0.5, abs=1e-6)


def test_listed_runs_that_are_not_finished(listed, finished, waiting):
    tries = finished(listed, lambda r: 0.5)
    tries["plain", 1] = tries["spread", 2] = waiting
    panel = listed_effects(listed, tries, "plain")
    assert panel is not None
    assert [(e.name, len(e.seeds), e.note) for e in panel.effects] == [
        ("spread", 1, "1 of 3 seeds"),
        ("spread, shuffled graph", 2, "2 of 3 seeds"),
    ]
    for seed in range(3):
        tries["plain", seed] = waiting
    assert listed_effects(listed, tries, "plain") is None


def test_an_axis_is_a_mean_over_the_others(grid, finished):
    tries = finished(grid, score)
    spread = axis_effects(grid, tries, "labels.spread", False)
    alpha = axis_effects(grid, tries, "edges.alpha", 0.5)
    assert spread is not None
    assert alpha is not None
    (true,) = spread.effects
    assert (spread.name, spread.reference, true.name) == ("labels.spread", "spread=false", "true")
    assert true.seeds == pytest.approx((0.1, 0.1, 0.1))
    assert [e.name for e in alpha.effects] == ["0", "1"]
    assert [e.difference.mean for e in alpha.effects] == pytest.approx([-0.01, 0.01])
    assert {e.note for e in (*spread.effects, *alpha.effects)} == {""}


def test_what_is_not_finished_does_not_bend_a_mean(grid, finished, waiting):
    # Where a run of the baseline's side is missing, its partner must not count either.
    tries = finished(grid, lambda r: score(r) + 10 * (r.axes["edges.alpha"] == 1))
    lost = next(r for r in grid if r.axes == {"labels.spread": False, "edges.alpha": 1})
    tries[lost.name, 1] = waiting
    panel = axis_effects(grid, tries, "labels.spread", False)
    assert panel is not None
    assert panel.effects[0].note == "2 of 3 settings"
    assert panel.effects[0].seeds == pytest.approx((0.1, 0.1, 0.1))
    for run in grid:
        if run.axes["labels.spread"]:
            tries[run.name, run.seed] = waiting
    assert axis_effects(grid, tries, "labels.spread", False) is None


def test_an_axis_may_have_lists_as_values(spec, finished):
    runs = plan(spec(axes={"edges.fanouts": [[2], [2, 1]]}, baseline=None))
    panel = axis_effects(runs, finished(runs, lambda r: 0.1 * len(r.axes["edges.fanouts"])),
                         "edges.fanouts", [2])  # fmt: skip
    assert panel is not None
    assert [(e.name, e.difference.mean) for e in panel.effects] == [("2+1", pytest.approx(0.1))]


def test_an_axis_of_one_value_has_no_effect(spec, finished):
    runs = plan(spec(axes={"labels.spread": [True]}, baseline=None))
    assert axis_effects(runs, finished(runs, lambda r: 0.5), "labels.spread", True) is None


@given(st.sets(st.tuples(st.sampled_from("abcd"), st.integers(0, 3))))
def test_a_whole_block_lacks_nothing(there):
    cells, seeds = whole_block(sorted(there))
    assert {(cell, seed) for cell in cells for seed in seeds} <= there
    assert bool(cells) == bool(seeds)


def test_the_larger_block_is_taken():
    there = [(cell, seed) for seed in range(3) for cell in "abcd"]
    assert whole_block([t for t in there if t != ("d", 2)]) == (list("abc"), [0, 1, 2])
    # Seed 2 has just begun.
    assert whole_block([t for t in there if t[1] < 2 or t[0] == "a"]) == (list("abcd"), [0, 1])
    assert whole_block([]) == ([], [])


def test_controls_stand_below_what_they_control():
    names = ["a, shuffled", "a", "a, b", "a, b, shuffled edges", "shuffled alone", "c"]
    assert with_controls_beside(names) == [
        "a", "a, shuffled", "a, b", "a, b, shuffled edges", "c", "shuffled alone",
    ]  # fmt: skip
