"""Case `rate`: the bare loop and its share."""

import json
from types import SimpleNamespace

import pytest
import torch

from benchmarks import rate, rate_bare
from graphrise.config import GraphConfig, to_dict
from graphrise.graph.build import build_graph


def test_the_bare_loop_counts_images_after_its_warm_up(make, monkeypatch):
    now = iter(range(1000))
    monkeypatch.setattr(rate_bare.time, "perf_counter", lambda: float(next(now)))
    batches = [torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16)]
    # A clock that ticks once a call: start at 0, looked at before each step and at the end.
    assert rate_bare.bare(make.small_run(), batches, 3, 10.0) == pytest.approx(4 * 10 / 11)


def test_the_bare_loop_in_a_process_of_its_own(make, dataset):
    build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)
    images, peak = rate._bare(dataset, make.small_run(), True, 0.01)
    assert images > 0
    assert 100 < peak < 10_000


@pytest.mark.parametrize("keep", [False, True])
def test_memory_is_kept_if_asked(make, dataset, monkeypatch, capsys, keep):
    build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)
    told = []
    monkeypatch.setattr(rate_bare, "keep_memory", lambda: told.append(True))
    monkeypatch.setattr(rate_bare, "first_to_go", lambda: None)  # this process is not to go first
    config = to_dict(make.small_run())
    work = {"dataset": str(dataset), "config": config, "keep": keep, "seconds": 0.01}
    rate_bare.main(json.dumps(work))
    assert json.loads(capsys.readouterr().out)["rate"] > 0
    assert told == [True] * keep


def test_rows_name_both_floors(make, dataset, tmp_path, monkeypatch):
    build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)
    monkeypatch.setattr(rate, "prepare_data", lambda *_, **__: {"part": dataset})
    monkeypatch.setattr(rate, "_bare", lambda *given: (40.0 if given[2] else 50.0, 7.0))
    monkeypatch.setattr(rate, "_config", lambda name, passes: make.small_run())
    found = SimpleNamespace(passes=100, seconds=4.0)
    monkeypatch.setattr(rate, "train", lambda *_, **__: found)
    rows = rate.run(tmp_path, ["resnet18"], 100, 2)
    ratios = {(row.variant, row.baseline): row.ratio for row in rows}
    assert ratios["test_resnet: train, bfloat16", "bare loop, bfloat16"] == 0.5
    assert ratios["test_resnet: train, bfloat16", "bare loop, memory kept, bfloat16"] == 0.625
    assert ratios["test_resnet: train, bfloat16", "bare loop, float32"] == 0.5
    assert ratios["test_resnet: train, float32", "bare loop, float32"] == 0.5
    assert {len(row.values) for row in rows} == {2}


def test_settings():
    config = rate._config("resnet18", 700)
    assert (config.encoder.name, config.images.size, config.train.passes) == ("resnet18", 64, 700)
    assert config.edges.alpha == 1
