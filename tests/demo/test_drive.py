"""The demo end to end on the digits, and what it refuses."""

import dataclasses

import pytest

import graphrise.demo.drive as drive
from graphrise.demo import demo
from graphrise.errors import ConfigError, DataError
from graphrise.recipes import RECIPES
from graphrise.train.folder import read_run


@pytest.fixture
def short(monkeypatch):
    """The digits recipe with a budget of seconds."""
    recipe = RECIPES["digits"]()
    train = dataclasses.replace(recipe.train, passes=300, precision="32-true", accelerator="cpu")
    monkeypatch.setitem(RECIPES, "digits", lambda: dataclasses.replace(recipe, train=train))


@pytest.mark.slow
def test_digits_end_to_end_and_again(short, tmp_path, capsys, monkeypatch):
    pytest.importorskip("sklearn")
    out = tmp_path / "demo"
    report = demo(out, data="digits", fast=True, seeds=1, jobs=2)
    assert report == out / "report.html"
    page = report.read_text(encoding="utf-8")
    for name in ("cross-entropy", "edge term", "spread labels"):
        assert name in page
    assert "recall@1" in page
    assert "| cross-entropy" in (out / "report.md").read_text(encoding="utf-8")
    runs = sorted((out / "runs").iterdir())
    assert len(runs) == 3
    for run in runs:
        assert 300 <= read_run(run)[2].passes < 300 + 2 * 128
    assert "preparing" in capsys.readouterr().err
    # The second call finds every run finished and trains none.
    trained = []
    monkeypatch.setattr(drive, "train_all", lambda jobs, workers: trained.extend(jobs))
    before = {run: (run / "run.json").stat().st_mtime_ns for run in runs}
    demo(out, data="digits", fast=True, seeds=1, jobs=2)
    assert trained == []
    assert {run: (run / "run.json").stat().st_mtime_ns for run in runs} == before
    assert "3 of 3 trainings are there already" in capsys.readouterr().err
    # A run whose training was cut off is trained again.
    (runs[0] / "run.json").unlink()
    with pytest.raises(DataError, match="did not finish"):
        demo(out, data="digits", fast=True, seeds=1)
    assert [job.run for job in trained] == [runs[0]]


@pytest.mark.parametrize("settings", [{"seeds": 0}, {"jobs": 0}, {"seeds": -1}])
def test_refuses_counts_below_one(tmp_path, settings):
    with pytest.raises(ConfigError, match="seeds and jobs must be at least 1"):
        demo(tmp_path / "out", data="digits", **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_in_the_way(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(DataError, match="is a file"):
        demo(tmp_path / "out", data="digits")
