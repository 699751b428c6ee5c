"""Runs at the baseline's time: what they had reached, what came before, and what is said of it."""

import json

import pyarrow.parquet as pq
import pytest

from graphrise.evaluate.format import NOTHING
from graphrise.study.equal_time import equal_time
from graphrise.study.plan import References, plan
from graphrise.study.rows import write_rows
from graphrise.study.setup import needs_graph
from graphrise.study.time_table import time_table

BASE, RUN, UPPER = "plain", "spread", "edges"
LISTED = [
    {"name": BASE},
    {"name": RUN, "set": {"labels.spread": True}},
    {"name": UPPER, "set": {"edges.alpha": 1}},
]
SPEED = {BASE: 10.0, RUN: 20.0, UPPER: 5.0}
"""Seconds from one of the three probes to the next."""
SCORE = {BASE: 0.3, RUN: 0.6, UPPER: 0.9}
"""At the last probe; it rises evenly."""


@pytest.fixture
def runs(spec):
    return plan(spec(axes=None, runs=LISTED, baseline=BASE, seeds=3))


@pytest.fixture
def tries(runs, finished):
    found = finished(runs, lambda run: SCORE[run.name] + 0.01 * run.seed)
    for (name, _), one in found.items():
        one.result["seconds"] = 3 * SPEED[name]
        for k, point in enumerate(one.result["curve"], 1):
            point["seconds"] = SPEED[name] * k
    return found


@pytest.fixture
def keep_setup(runs, tries, tmp_path):
    """Let the study know what came before training: graphs of 8 s, labels spread in 2 s."""

    def keep():
        for run in runs:
            tries[run.name, run.seed].result["spread_seconds"] = 2.0 * (run.name == RUN)
            file = run.source.graph_folder(tmp_path).with_suffix(".json")
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps({"seconds": 8.0}))

    return keep


def test_scores_at_the_time_of_the_baseline(runs, tries, tmp_path):
    found = equal_time(runs, tries, References(BASE, UPPER), tmp_path)
    assert found is not None
    assert (found.seconds, found.with_setup) == (30, False)
    base, run, upper = found.rows
    assert [row.ratio for row in found.rows] == [1, 2, 0.5]
    assert [row.ended for row in found.rows] == [3, 0, 3]
    # At 30 s the slow run is half way from its first probe to its second.
    assert [row.passes for row in found.rows] == [24, 12, 24]
    assert run.validation is not None
    assert run.validation.values == pytest.approx([v / 2 for v in (0.6, 0.61, 0.62)])
    assert upper.validation is not None
    assert upper.validation.values == pytest.approx((0.9, 0.91, 0.92))
    assert (base.gap, upper.gap) == (None, None)
    assert run.gap is not None
    assert run.gap.closed == pytest.approx((0.305 - 0.31) / 0.6)


def test_each_seed_is_held_against_the_baseline_of_that_seed(runs, tries, tmp_path):
    # All of seed 1 on a machine of half the speed.
    for name in SPEED:
        result = tries[name, 1].result
        result["seconds"] *= 2
        for point in result["curve"]:
            point["seconds"] *= 2
    found = equal_time(runs, tries, References(BASE), tmp_path)
    assert found is not None
    assert found.seconds == 40
    assert [row.ratio for row in found.rows] == [1, 2, 0.5]
    assert [row.passes for row in found.rows] == [24, 12, 24]


def test_what_comes_before_training_counts_where_all_of_it_is_known(
    runs, tries, keep_setup, tmp_path
):
    keep_setup()
    found = equal_time(runs, tries, References(BASE), tmp_path)
    assert found is not None
    assert (found.seconds, found.with_setup) == (30, True)
    base, run, edges = found.rows
    assert (base.setup, run.setup, edges.setup) == (0, 10, 8)
    assert (base.ratio, run.ratio) == pytest.approx((1, 70 / 30))
    assert run.validation is not None
    # 20 s of its training: the first probe.
    assert run.validation.values == pytest.approx([v / 3 for v in (0.6, 0.61, 0.62)])
    assert edges.ended == 3
    del tries[RUN, 1].result["spread_seconds"]
    found = equal_time(runs, tries, References(BASE), tmp_path)
    assert found is not None
    assert [row.setup for row in found.rows] == [0, None, 8]
    assert [row.ratio for row in found.rows] == [1, 2, 0.5]
    assert not found.with_setup


def test_the_cost_file_has_what_came_before_training(runs, tries, keep_setup, tmp_path, waiting):
    keep_setup()
    tries[RUN, 2] = waiting
    write_rows(tmp_path, runs, tries)
    costs = pq.read_table(tmp_path / "cost.parquet").to_pylist()
    found = {(c["run"], c["seed"]): c["setup_seconds"] for c in costs}
    assert [found[name, 0] for name in (BASE, RUN, UPPER)] == [0, 10, 8]
    assert found[RUN, 2] is None


def test_which_runs_need_a_graph(spec):
    settings = {
        "a": {}, "b": {"labels.spread": True}, "c": {"edges.alpha": 0.1},
        "d": {"labels.source": "queries"}, "e": {"labels.source": "both"},
    }  # fmt: skip
    listed = [{"name": name, "set": of} for name, of in settings.items()]
    found = plan(spec(axes=None, runs=listed, baseline=None, seeds=1))
    assert [run.name for run in found if needs_graph(run.config)] == ["b", "c", "d", "e"]


def test_a_run_without_a_probe_by_then(runs, tries, tmp_path):
    for point in tries[RUN, 0].result["curve"]:
        point["seconds"] += 100
    tries[UPPER, 1].result["curve"].clear()
    found = equal_time(runs, tries, References(BASE), tmp_path)
    assert found is not None
    _, run, upper = found.rows
    assert run.validation is not None
    assert upper.validation is not None
    assert (len(run.validation.values), len(upper.validation.values)) == (2, 2)
    for seed in range(3):
        tries[RUN, seed].result["curve"].clear()
    found = equal_time(runs, tries, References(BASE), tmp_path)
    assert found is not None
    assert (found.rows[1].validation, found.rows[1].passes) == (None, None)
    assert time_table(found).rows[1] == [RUN, NOTHING, "2.00x", NOTHING, NOTHING]


def test_nothing_to_hold_it_against(runs, tries, waiting, tmp_path):
    assert equal_time(runs, tries, References(), tmp_path) is None
    for seed in range(3):
        tries[RUN, seed] = tries[UPPER, seed] = waiting
    assert equal_time(runs, tries, References(BASE), tmp_path) is None
    for seed in range(3):
        tries[UPPER, seed], tries[BASE, seed] = tries[BASE, seed], waiting
    assert equal_time(runs, tries, References(BASE), tmp_path) is None


def test_ratios_are_over_seeds_that_both_finished(runs, tries, waiting, tmp_path):
    tries[BASE, 0].result["seconds"] = 300
    tries[RUN, 0] = waiting
    found = equal_time(runs, tries, References(BASE), tmp_path)
    assert found is not None
    assert [row.run for row in found.rows] == [BASE, RUN, UPPER]
    assert found.rows[1].ratio == 2
    tries[BASE, 1] = tries[BASE, 2] = waiting
    found = equal_time(runs, tries, References(BASE), tmp_path)
    assert found is not None
    assert [row.ratio for row in found.rows] == [1, None, 0.05]


def test_the_table(runs, tries, tmp_path):
    tries[RUN, 0].result["seconds"] = 25.0
    found = equal_time(runs, tries, References(BASE, UPPER), tmp_path)
    assert found is not None
    table = time_table(found)
    assert table.header == [
        "run", "before training", "time, x baseline", "encoder passes by then",
        "split=val then, %", "gap closed then, %",
    ]  # fmt: skip
    base, run, upper = table.rows
    assert table.baseline == 0
    assert base[:4] == ["plain (baseline)", "0.0 s", "1.00x", "24 (end)"]
    assert (run[1], run[3]) == (NOTHING, "12 (1 of 3 ended)")
    assert upper[0] == "edges (upper)"
    assert (base[5], upper[5]) == (NOTHING, NOTHING)
    assert run[5].startswith("-1 (")
    remarks = " ".join(table.remarks)
    assert "when the time of 'plain' with the same seed, 30 s on average, was over" in remarks
    assert "at most 1.05 x" in remarks
    assert "times here are of training alone" in remarks


def test_the_table_without_a_validation_set(spec, finished, tmp_path):
    given = spec(
        validation=None, axes={"labels.spread": [False, True]},
        set={**spec().set, "evaluate.queries": ["split=query"]},
    )  # fmt: skip
    runs = plan(given)
    tries = finished(runs, lambda run: 0.5)
    for one in tries.values():
        one.result["curve"].clear()
    found = equal_time(runs, tries, References("spread=false", "spread=true"), tmp_path)
    assert found is not None
    table = time_table(found)
    assert table.header == ["run", "before training", "time, x baseline"]
    assert "interpolated" not in " ".join(table.remarks)
