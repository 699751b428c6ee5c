"""Case `neighbors`: its ways, and how many passes take a way as long as the baseline."""

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import neighbors
from benchmarks.__main__ import main
from graphrise.config import EdgeConfig
from graphrise.demo.drive import with_passes
from graphrise.demo.variants import BASELINE, FEATURED, Trained
from graphrise.errors import ConfigError
from graphrise.recipes import RECIPES
from graphrise.train.folder import RunResult

PASSES = 1000
WAYS = neighbors._ways(with_passes(RECIPES["emoji"](), PASSES))


def test_an_unknown_name(tmp_path, capsys):
    with pytest.raises(ConfigError, match=r"no way \['pears'\]; there are \['cross-entropy"):
        neighbors.run(tmp_path / "out", 1, PASSES, ["pears", "bank"])
    assert main(["neighbors", "--out", str(tmp_path / "out"), "--only", "pears"]) == 1
    assert "no way ['pears']" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_names_and_folders_are_unique():
    every = [*WAYS, *(dataclasses.replace(w, name=w.name + neighbors.EQUAL_TIME) for w in WAYS)]
    assert len({way.name for way in every}) == len({way.slug for way in every}) == len(every)
    assert WAYS[0].name == BASELINE
    assert FEATURED in {way.name for way in WAYS}
    assert {way.labelled for way in WAYS} == {"part"}


def test_ways_differ_in_edges_and_labels_only():
    base = WAYS[0].config
    assert base.edges == EdgeConfig(alpha=0.0)
    for way in WAYS:
        config = way.config
        assert config.labels.spread == way.name.startswith(("spread + ", FEATURED))
        labels = dataclasses.replace(config.labels, spread=base.labels.spread)
        control = way.name.endswith(", shuffled edges")
        assert config.shuffle_edges == (0 if control else None)
        same = dataclasses.replace(config, edges=base.edges, labels=labels, shuffle_edges=None)
        assert same == base
        assert (config.edges.alpha > 0) == (way.name not in (BASELINE, FEATURED))
    configs = [way.config for way in WAYS]
    assert all(configs.count(config) == 1 for config in configs)


def test_controls_are_their_ways_with_other_edges():
    named = {way.name: way.config for way in WAYS}
    for name in neighbors.CONTROLS:
        control = named[f"{name}, shuffled edges"]
        assert dataclasses.replace(control, shuffle_edges=None) == named[name]


def named(name):
    (way,) = [way for way in WAYS if way.name == name]
    return way


@pytest.mark.parametrize(
    ("rates", "passes"),
    [
        ([50.0, 100.0, 49.0], 500),
        ([80.0, 1.0, 90.0], 800),
        ([125.0, 125.0, 125.0], 1250),
        ([102.0, 50.0, 150.0], None),
        ([98.0, 99.0, 97.5], None),
    ],
)
def test_passes_of_equal_time(rates, passes):
    # Medians count: 100 passes a second of the baseline, ten seconds for the thousand.
    speed = {BASELINE: [100.0, 300.0, 90.0], "pairs": rates}
    way = neighbors.equal_time(named("pairs"), speed, PASSES)
    if passes is None:
        assert way is None
    else:
        assert way is not None
        assert way.name == "pairs, equal time"
        assert way.config == with_passes(named("pairs").config, passes)


def test_controls_get_no_equal_time():
    control = "pairs, shuffled edges"
    speed = {BASELINE: [100.0], control: [40.0]}
    assert neighbors.equal_time(named(control), speed, PASSES) is None


@pytest.fixture
def speed(monkeypatch):
    """Name of a way -> passes a second, as if measured; 100 if not set."""
    found = {}
    monkeypatch.setattr(
        neighbors, "speeds", lambda dataset, ways, kept: {n: found.get(n, [100.0]) for n in ways}
    )
    return found


@pytest.fixture
def calls(speed, monkeypatch):
    """Ways of every call that would train; a run is (way, seed) and takes as long as they say."""
    found = []

    def demo_runs(out, models, *, seeds, **settings):
        assert models
        found.append({way.name: way.config.train.passes for way in models})
        runs = {way.name: cast(Any, [(way, seed) for seed in range(seeds)]) for way in models}
        return [Trained(way, runs[way.name]) for way in models], out

    def read_run(run):
        return run[0].config, None, RunResult(0, 0.0, 7.0 + run[1], [], [])

    def compared(trained):
        passes = trained.variant.config.train.passes
        rate = speed.get(trained.variant.name.removesuffix(", equal time"), [100.0])[0]
        run = SimpleNamespace(encoder_passes=passes, seconds=passes / rate)
        return SimpleNamespace(name=trained.variant.name, runs=[run] * len(trained.runs))

    def compare(dataset, trained, config, command):
        models = {one.variant.name: compared(one) for one in trained}
        return SimpleNamespace(
            models=list(models.values()), query_sets=[], model=models.__getitem__
        )

    monkeypatch.setattr(neighbors, "demo_runs", demo_runs)
    monkeypatch.setattr(neighbors, "read_run", read_run)
    monkeypatch.setattr(neighbors, "compare", compare)
    monkeypatch.setattr(neighbors, "write_report", lambda path, report: None)
    return found


def test_slow_ways_are_run_again_with_fewer_passes(speed, calls, tmp_path):
    speed["bank"] = [50.0]
    rows = neighbors.run(tmp_path, 3, PASSES, ["bank"])
    assert calls == [
        {BASELINE: 1000, "bank": 1000, FEATURED: 1000},
        {"bank, equal time": 500},
    ]
    assert {row.case for row in rows} == {"neighbors"}
    sizes = {row.variant: row.size for row in rows}
    assert sizes["bank"] == "4,188 images in the graph, 1,000 passes, 3 seeds"
    assert sizes["bank, equal time"] == "4,188 images in the graph, 500 passes, 3 seeds"
    times = {row.variant: row.ratio for row in rows if row.metric == "training time"}
    assert (times["bank"], times["bank, equal time"]) == (0.5, 1)
    # Of three seeds the largest.
    assert {row.peak_mib for row in rows} == {9}


def test_nothing_is_run_again_where_all_are_as_fast(calls, tmp_path):
    rows = neighbors.run(tmp_path, 3, PASSES, ["pairs"])
    assert calls == [{BASELINE: 1000, "pairs": 1000, FEATURED: 1000}]
    assert {row.variant for row in rows} == set(calls[0])
