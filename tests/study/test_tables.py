"""Rows and tables of made results: what they hold and what they say."""

import pyarrow.parquet as pq
import pytest

from graphrise.errors import DataError
from graphrise.evaluate.format import NOTHING
from graphrise.study.gap import Gap, gap_closed
from graphrise.study.markdown import to_markdown
from graphrise.study.plan import References, plan
from graphrise.study.progress import progress_of, time_left
from graphrise.study.rows import axis_column, write_rows
from graphrise.study.storage import Try
from graphrise.study.summary import summary
from graphrise.study.table import chance, closed, score_table
from graphrise.study.tabular import latex

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


def written(found):
    return to_markdown(found, score_table(found), None)


def test_the_summary(runs, tries):
    found = summary("small", runs, tries, References(BASE))
    base, other = found.rows
    assert (base.run, base.seeds, base.difference) == (BASE, 3, None)
    assert base.test.mean == pytest.approx(0.52)
    assert other.difference is not None
    assert other.difference.mean == pytest.approx(0.10)
    assert other.difference.seeds == 3
    assert (base.passes, other.passes) == (20, 40)
    assert found.missing == {}


def test_the_markdown_table(runs, tries):
    text = written(summary("small", runs, tries, References(BASE)))
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
    text = latex(score_table(summary("small", runs, tries, References(BASE))))
    assert r"\begin{tabular}{lrrrrrrrrr}" in text
    assert r"52.0 $\pm$ 2.0" in text
    assert r"split=val, \%" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3
    assert {line.count(" & ") for line in rows} == {9}
    assert [line for line in text.splitlines() if line.startswith("% ")]


def test_without_baseline_nothing_is_compared(runs, tries):
    found = summary("small", runs, tries, References())
    assert "difference, points" not in score_table(found).header
    assert "p-values" not in written(found)


@pytest.fixture
def three(spec, result):
    """A baseline, a run and an upper reference over three seeds, by their test recall."""

    def made(plain, spread, full):
        runs = plan(spec(axes={"edges.alpha": [0, 1, 2]}, baseline="alpha=0", seeds=3))
        scores = {"alpha=0": plain, "alpha=1": spread, "alpha=2": full}
        tries = {
            (r.name, r.seed): Try(
                n, "finished", r.key, 1, 1, "", result(test=scores[r.name][r.seed])
            )
            for n, r in enumerate(runs)
        }
        return runs, tries

    return made


def test_the_gap_closed(three):
    runs, tries = three((0.50, 0.52, 0.54), (0.60, 0.63, 0.63), (0.70, 0.71, 0.75))
    found = summary("small", runs, tries, References("alpha=0", "alpha=2"))
    table = score_table(found)
    column = list(table.header).index("gap closed, %")
    assert [row[0] for row in table.rows] == ["alpha=0 (baseline)", "alpha=1", "alpha=2 (upper)"]
    expected = closed(gap_closed((0.60, 0.63, 0.63), (0.50, 0.52, 0.54), (0.70, 0.71, 0.75)))
    assert [row[column] for row in table.rows] == [NOTHING, expected, NOTHING]
    assert expected.startswith("50 (")
    text = written(found)
    assert "from 'alpha=0' to 'alpha=2' (20.0 points)" in text
    assert "Fieller" in text
    assert "is wide from 3 seeds" in text
    assert r"gap closed, \%" in latex(table)


@pytest.mark.parametrize(
    ("upper", "message"),
    [
        pytest.param((0.5, 0.49, 0.6), "is not above 0 beyond the noise of 3 seeds", id="noise"),
        pytest.param(None, "they have no finished seed in common", id="missing"),
    ],
)
def test_no_gap_no_share_of_it(three, upper, message):
    runs, tries = three((0.50, 0.52, 0.54), (0.60, 0.63, 0.63), upper or (0.7, 0.7, 0.7))
    if upper is None:
        for seed in range(3):
            tries["alpha=2", seed] = Try(9, "waiting", "", 0, 1, "", {})
    found = summary("small", runs, tries, References("alpha=0", "alpha=2"))
    table = score_table(found)
    column = list(table.header).index("gap closed, %")
    assert {row[column] for row in table.rows} == {NOTHING}
    assert message in " ".join(table.remarks)


@pytest.mark.parametrize(
    ("gap", "text"),
    [
        (None, NOTHING),
        (Gap(3, 0.617, 0.4049, 0.954), "62 (40 to 95)"),
        (Gap(3, -0.002, -0.5, 0.004), "0 (-50 to 0)"),
        (Gap(2, 0.5, None, None), "50"),
    ],
)
def test_shares_of_a_gap_as_text(gap, text):
    assert closed(gap) == text


def test_what_is_missing_is_named(runs, tries):
    tries[OTHER, 2] = Try(9, "failed", "", 2, 0, "Traceback\nValueError: no", {})
    tries[BASE, 1] = Try(8, "waiting", "", 0, 1, "", {})
    found = summary("small", runs, tries, References(BASE))
    pair = found.rows[1].difference
    assert pair is not None
    assert pair.seeds == 1  # seed 0 is the only one of both
    assert found.rows[1].seeds == 2
    text = written(found)
    assert "4 of 6 trainings are finished" in text
    assert f"{OTHER}, seed 2 (failed: ValueError: no)" in text
    assert f"{BASE}, seed 1 (waiting)" in text
    nothing = {name: Try(0, "waiting", "", 0, 1, "", {}) for name in tries}
    with pytest.raises(DataError, match="no run is finished"):
        summary("small", runs, nothing, References(BASE))


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
