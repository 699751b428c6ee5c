"""Curves from the Parquet file: means and ranges over seeds, and which are drawn in colour."""

import pytest

from graphrise.study.curves import foremost, read_curves
from graphrise.study.plan import References, plan
from graphrise.study.rows import write_rows


@pytest.fixture
def runs(spec):
    return plan(spec())


def test_mean_and_range_over_seeds(runs, finished, tmp_path):
    tries = finished(runs, lambda r: 0.3 + 0.3 * r.seed if r.axes["labels.spread"] else 0.9)
    write_rows(tmp_path, runs, tries)
    plain, spread = read_curves(tmp_path / "curves.parquet", "passes")
    assert (plain.name, spread.name) == ("spread=false", "spread=true")
    assert spread.at.tolist() == [8, 16, 24]
    assert spread.low == pytest.approx([0.1, 0.2, 0.3])
    assert spread.mean == pytest.approx([0.15, 0.3, 0.45])
    assert spread.high == pytest.approx([0.2, 0.4, 0.6])
    assert spread.seeds == 2
    timed = read_curves(tmp_path / "curves.parquet", "seconds")[1]
    assert timed.at == pytest.approx([10.5, 21, 31.5])  # seeds take 10 s and 11 s a probe
    assert timed.mean == pytest.approx([0.15, 0.3, 0.45])


def test_seeds_with_fewer_probes_and_points_without(runs, finished, tmp_path):
    tries = finished(runs, lambda r: 0.6)
    first = tries["spread=true", 0].result["curve"]
    del first[-1]
    first.insert(1, {"passes": 9.0, "seconds": 12.0, "label_loss": 1.0})
    for seed in (0, 1):
        for point in tries["spread=false", seed].result["curve"]:
            del point["recall@1"]
    write_rows(tmp_path, runs, tries)
    (curve,) = read_curves(tmp_path / "curves.parquet", "passes")
    assert curve.name == "spread=true"
    assert curve.at.tolist() == [8, 16]


def test_no_probe_at_all(runs, finished, tmp_path):
    tries = finished(runs, lambda r: 0.6)
    for one in tries.values():
        one.result["curve"].clear()
    write_rows(tmp_path, runs, tries)
    assert read_curves(tmp_path / "curves.parquet", "seconds") == []


def test_references_come_first_and_controls_last():
    names = ["a", "a, shuffled", "b", "c", "base"]
    assert foremost(names, References("base"), 3) == ["a", "b", "base"]
    assert foremost(names, References("base"), 5) == names
    assert foremost(names, References("base", "c"), 3) == ["a", "c", "base"]
    assert foremost(names, References(), 4) == ["a", "b", "c", "base"]
