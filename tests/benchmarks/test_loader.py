"""Case `loader` on a few photographs: what is made, and sound rows of both parts."""

import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the photographs are scikit-learn's")

from benchmarks import loader, loader_rate
from graphrise.config import EdgeConfig
from graphrise.data.tables import read_images
from graphrise.graph.store import open_graph
from graphrise.images.packed_store import PackedStore
from graphrise.images.store import open_store

IMAGES = 64
BATCH = 8


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Working folder, shared: its datasets are made once, as the case does."""
    return tmp_path_factory.mktemp("loader")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """64 photographs in batches of 8, two cores."""
    monkeypatch.setattr(loader, "IMAGES", IMAGES)
    monkeypatch.setattr(loader_rate, "BATCH", BATCH)
    monkeypatch.setattr(loader.os, "cpu_count", lambda: 2)


def test_the_datasets(out):
    large, small = (
        loader._dataset(out / "photos-256", 256),
        loader._dataset(out / "s", 32, png=True),
    )
    assert [len(read_images(folder)) for folder in (large, small)] == [IMAGES, IMAGES]
    assert isinstance(open_store(large, read_images(large)), PackedStore)
    assert not (small / "packed").exists()
    graph = open_graph(large / "graph")
    assert graph.num_nodes == IMAGES
    assert np.flatnonzero(graph.labels["given"].counts).tolist() == list(range(0, IMAGES, 2))
    # Four drawn by every image, and those that draw it; a few are drawn twice.
    assert 7 < graph.num_edges / IMAGES <= 8
    assert graph.rowptr[-1] == graph.num_edges
    before = (large / "images.parquet").stat().st_mtime_ns
    assert loader._dataset(large, 256) == large
    assert (large / "images.parquet").stat().st_mtime_ns == before


def sound(row, unit):
    found = json.loads(json.dumps(row.to_dict()))
    assert found["case"] == "loader"
    assert found["unit"] == unit
    assert found["repetitions"] == 1
    assert np.isfinite(found["ratio"])
    assert found["value"] > 0
    assert found["peak_mib"] > 50
    assert found["versions"]["timm"]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # held to one core, it warns
def test_rates(out):
    rows = loader.run(out, ["rate"], 1)
    assert [row.variant for row in rows] == [
        f"{side} px: {way}"
        for side in (256, 171)
        for way in (
            "simplejpeg, bare loop, one core",
            "simplejpeg, bare loop, all cores",
            "whole loader, one core",
            "whole loader, all cores",
            "whole loader, a worker process a core",
        )
    ]
    for five in (rows[:5], rows[5:]):
        # By one core against one loop, by all against as many.
        for row, floor in zip(five, (0, 1, 0, 1, 1), strict=True):
            sound(row, "images/s/core")
            assert row.baseline_values == five[floor].values
            assert five[floor].variant.endswith(row.baseline)
        assert five[0].ratio == five[1].ratio == 1
    assert {row.size.rpartition(", ")[0] for row in rows} == {
        "64 JPEGs, short side 256 px, q90",
        "64 JPEGs, short side 171 px, q90",
    }
    assert not (out / "photos-32").exists()


def test_a_rate_counts_every_picture_of_a_pass(out, monkeypatch):
    large = loader._dataset(out / "photos-256", 256)
    seconds = iter(range(100))
    monkeypatch.setattr(loader_rate.time, "perf_counter", lambda: next(seconds))
    one = loader_rate._loaded(large, open_graph(large / "graph"), 256, threads=1, prefetch=0)
    counts = [one(), one()]
    # A clock that ticks once a call: 32 labelled images, and at most a neighbour of each.
    assert all(32 < count <= 64 for count in counts)
    data = [bytes(PackedStore(large / "packed").read(0))] * 5
    assert loader_rate._bare(data, 1) == 5


def test_augmentation(tmp_path, capsys):
    rows = loader.run(tmp_path, ["augment"], 1)
    assert [row.variant for row in rows] == [
        f"augment, {side} px: {way}"
        for side in (32, 48, 224)
        for way in ("torch's operations", "compiled loop")
    ]
    for row in rows:
        sound(row, "ms")
        assert row.baseline == "torch's operations"
    worst = [float(line.split()[-3]) for line in capsys.readouterr().out.splitlines()]
    assert len(worst) == 3
    assert all(0 < one < 2e-3 for one in worst)
    assert not any(tmp_path.iterdir())


def test_steps(out, monkeypatch, capsys):
    ways = loader._trainings(out, out)
    assert [(name, steps) for name, _, _, steps in ways] == [
        ("resnet50, 224 px, decoded anew", 3),
        ("demo CNN, 32 px, cached, float32, 1 thread", 60),
        ("demo CNN, 32 px, cached, bfloat16, 1 thread", 60),
        ("demo CNN, 32 px, cached, float32", 60),
        ("demo CNN, 32 px, cached, bfloat16", 60),
    ]
    assert all(config.edges == EdgeConfig(alpha=1.0) for _, _, config, _ in ways)

    def demo_only(large, small):
        config = ways[1][2]
        train = dataclasses.replace(config.train, batch_size=BATCH)
        return [("demo", small, dataclasses.replace(config, train=train), 2)]

    monkeypatch.setattr(loader, "_trainings", demo_only)
    rows = loader.run(out, ["step"], 1)
    assert "demo: median of the paired ratios " in capsys.readouterr().out
    kept, real = rows
    assert [row.variant for row in rows] == [
        "demo: one batch kept in memory",
        "demo: real loader",
    ]
    for row in rows:
        sound(row, "images/s")
        assert row.baseline_values == kept.values
        assert row.size == "batch 8 and a drawn neighbour each, 2 steps"
    assert (kept.ratio, real.ratio) == (1, real.values[0] / kept.values[0])
