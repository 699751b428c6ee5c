"""Case `resume`: what counts as the same run, and a run that is killed and goes on."""

import dataclasses

import pytest

from benchmarks import resume
from benchmarks.rows import write_jsonl
from graphrise.config import BankConfig, GraphConfig
from graphrise.graph.build import build_graph
from graphrise.train.run import train


@pytest.fixture
def fit(make, dataset, tmp_path):
    graph = build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)

    def run(name, **stages):
        stages = {
            "edges": {"alpha": 1.0, "embeddings": "bank", "bank": BankConfig(mapped=True)},
            "head": {"kind": "sampled", "num_negatives": 2, "negatives": "uniform"},
            **stages,
        }
        config = make.small_run(**stages)
        train(dataset, graph, tmp_path / name, config, display=make.silent)
        return resume.state_of(tmp_path / name)

    return run


def test_all_that_training_made_is_compared(fit):
    one = fit("one")
    assert fit("again") == one
    kinds = ("encoder.", "projection.", "head.step", "optimizer", "label vectors", "label sums")
    for kind in (*kinds, "bank"):
        assert any(name.startswith(kind) for name in one), kind
    other = fit("other", train={"seed": 1})
    assert other.keys() == one.keys()
    different = {name for name in one if one[name] != other[name]}
    assert {"bank", "label vectors", "label sums"} <= different


def test_the_run_has_all_that_has_a_state():
    config = resume._config(500)
    assert config.train.passes == 500
    assert config.images.workers > 0
    assert config.labels.spread
    assert config.edges.used
    assert config.edges.bank.mapped
    assert config.head.kind == "sampled"
    assert config.encoder.kwargs["drop_rate"] > 0


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    config = resume._config(2000)
    few = dataclasses.replace(config, images=dataclasses.replace(config.images, workers=0))
    monkeypatch.setattr(resume, "_config", lambda passes: few)
    rows = resume.run(tmp_path, 1, 2000)
    assert rows[0].values == [1.0]
    assert rows[0].ratio == 1
    write_jsonl(rows, tmp_path / "rows.jsonl")
