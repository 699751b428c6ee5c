"""Rows and tables of made results: what they hold and what they say."""

import pyarrow.parquet as pq
import pytest

from graphrise.errors import DataError
from graphrise.evaluate.format import NOTHING
from graphrise.study.plan import plan
from graphrise.study.progress import progress_of, time_left
from graphrise.study.rows import axis_column, write_rows
from graphrise.study.storage import Try
from graphrise.study.summary import summary
from graphrise.study.table import chance, header, to_latex, to_markdown

BASE, OTHER = "spread=false", "spread=true"


@pytest.fixture
def runs(spec):
    return plan(spec(seeds=3))


@pytest.fixture
def tries(runs, result):
    """Test recall of three seeds by run: 0.50, 0.52, 0.54 and 0.60, 0.63, 0.63."""
    scores = {BASE: (0.50, 0.52, 0.54), OTHER: (0.60, 0.63, 0.63)}
    return {
        (r.name, r.seed): Try(
            n, "finished", r.key, 1, 1, "",
            result(test=scores[r.name][r.seed], passes=20 if r.name == BASE else 40),
        )
        for n, r in enumerate(runs)
    }  # fmt: skip


def test_the_summary(runs, tries):
    found = summary("small", runs, tries, BASE)
    base, other = found.rows
    assert (base.run, base.seeds, base.difference) == (BASE, 3, None)
    assert base.test.mean == pytest.approx(0.52)
    assert other.difference is not None
    assert other.difference.mean == pytest.approx(0.10)
    assert other.difference.seeds == 3
    assert (base.passes, other.passes) == (20, 40)
    assert found.missing == {}


def test_the_markdown_table(runs, tries):
    text = to_markdown(summary("small", runs, tries, BASE))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert lines[0].startswith("| run | split=val, % | split=query (test), % | difference, points")
    dashes = " | ".join([NOTHING] * 4)
    assert f"| {BASE} (baseline) | 50.0 ± 0.0 | 52.0 ± 2.0 | {dashes} | 3 |" in lines[2]
    assert f"| {OTHER} | 50.0 ± 0.0 | 62.0 ± 1.7 | +10.0 | +7.5 to +12.5 |" in lines[3]
    assert "| 0.25 | 3 | 40 |" in lines[3]
    assert "From 3 seeds the sign-flip test cannot give less than p = 0.25: at 0.05" in text
    assert "not corrected" in text
    assert len({line.count("|") for line in lines}) == 1


def test_the_latex_table(runs, tries):
    text = to_latex(summary("small", runs, tries, BASE))
    assert r"\begin{tabular}{lrrrrrrrrr}" in text
    assert r"52.0 $\pm$ 2.0" in text
    assert r"split=val, \%" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3
    assert {line.count(" & ") for line in rows} == {9}
    assert [line for line in text.splitlines() if line.startswith("% ")]


def test_without_baseline_nothing_is_compared(runs, tries):
    found = summary("small", runs, tries, None)
    assert "difference, points" not in header(found)
    assert "p-values" not in to_markdown(found)


def test_what_is_missing_is_named(runs, tries):
    tries[OTHER, 2] = Try(9, "failed", "", 2, 0, "Traceback\nValueError: no", {})
    tries[BASE, 1] = Try(8, "waiting", "", 0, 1, "", {})
    found = summary("small", runs, tries, BASE)
    pair = found.rows[1].difference
    assert pair is not None
    assert pair.seeds == 1  # seed 0 is the only one of both
    assert found.rows[1].seeds == 2
    text = to_markdown(found)
    assert "4 of 6 trainings are finished" in text
    assert f"{OTHER}, seed 2 (failed: ValueError: no)" in text
    assert f"{BASE}, seed 1 (waiting)" in text
    nothing = {name: Try(0, "waiting", "", 0, 1, "", {}) for name in tries}
    with pytest.raises(DataError, match="no run is finished"):
        summary("small", runs, nothing, BASE)


def test_the_rows(runs, tries, tmp_path):
    tries[OTHER, 2] = Try(9, "failed", "k", 2, 0, "ValueError: no", {})
    files = write_rows(tmp_path, runs, tries)
    assert [f.name for f in files] == ["runs.parquet", "cost.parquet", "curves.parquet"]
    scores, costs, curves = (pq.read_table(f).to_pylist() for f in files)
    assert len(scores) == 5 * 2
    assert scores[1] == {
        "run": BASE, "seed": 0, "labels.spread": False,
        "query_set": "split=query", "metric": "recall@1", "value": 0.5,
    }  # fmt: skip
    assert len(costs) == 6
    failed = [c for c in costs if c["state"] == "failed"]
    assert [(c["run"], c["seed"], c["tries"], c["error"], c["passes"]) for c in failed] == [
        (OTHER, 2, 2, "ValueError: no", None)
    ]
    assert len(curves) == 5
    assert curves[0]["query_set"] == "split=val"
    assert curves[0]["recall@1"] == 0.25


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ([1, None, 3], [1, None, 3]),
        ([0, 0.5], [0.0, 0.5]),
        ([True, False], [True, False]),
        ([True, 2], ["true", "2"]),
        (["a", (1, 2)], ["a", "1+2"]),
        ([None, None], [None, None]),
    ],
)
def test_an_axis_is_one_type(values, column):
    found = axis_column(values)
    assert found == column
    assert len({type(v) for v in found if v is not None}) <= 1


def test_chances_as_text():
    assert [chance(p) for p in (None, 0.25, 0.0312, 0.001, 0.0002, 1.0)] == [
        NOTHING, "0.25", "0.031", "0.001", "<0.001", "1.00",
    ]  # fmt: skip


def test_time_left_by_the_passes_of_finished_runs(runs, tries, result):
    waiting = Try(9, "waiting", "", 0, 1, "", {})
    running = Try(9, "running", "", 0, 1, "", {})
    assert time_left(runs, dict.fromkeys(tries, waiting), {}, 2) is None
    some = {name: one if name[0] == BASE else waiting for name, one in tries.items()}
    # 30 s for 60 passes; three runs of 24 passes wait.
    assert time_left(runs, some, {}, 1) == pytest.approx(36)
    some[OTHER, 0] = running
    assert time_left(runs, some, {(OTHER, 0): 0.5}, 2) == pytest.approx(15)
    done, line = progress_of(runs, some, {(OTHER, 0): 0.5}, 2)
    assert done == 3.5
    assert line == "3 of 6 finished, 1 running, about 15 s left"
    some[OTHER, 1] = Try(9, "failed", "", 2, 0, "no", {})
    assert "1 failed" in progress_of(runs, some, {}, 2)[1]
