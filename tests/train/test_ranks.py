"""Several processes train as one does on the batches that they make together."""

import csv
import dataclasses
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file

from graphrise.config import BankConfig, GraphConfig, TrainConfig, to_dict
from graphrise.errors import ConfigError
from graphrise.graph.build import build_graph
from graphrise.nn.heads import load_table
from graphrise.train.ranks import devices_of
from graphrise.train.run import train

# No batch normalisation: its statistics are each rank's own.
ENCODER = {"name": "test_vit", "kwargs": {"img_size": 16, "patch_size": 8}, "dim": 8}
CASES = {
    "full": {
        "labels": {"source": "queries"},
        "edges": {"alpha": 1.0, "alpha_unlabelled": 0.5, "label_alpha": 0.5},
    },
    "sampled": {
        "labels": {"source": "queries"},
        "head": {"kind": "sampled", "num_negatives": 2, "negatives": "uniform"},
        "edges": {"alpha": 1.0, "label_alpha": 0.5},
        "train": {"clip": 1.0},
    },
    # Not as one process: a neighbour that another rank has is a step old.
    "bank": {
        "labels": {"source": "queries"},
        "head": {"kind": "sampled", "num_negatives": 2, "negatives": "uniform"},
        "edges": {"alpha": 1.0, "embeddings": "bank", "bank": BankConfig(mapped=True)},
    },
}
TOLERANCE = 2e-5


def settings_of(make, case, ranks):
    """Twelve labelled images; the ranks' batches make up one of four."""
    stages = {"encoder": ENCODER, **CASES[case]}
    train = {"passes": None, "epochs": 4.0, "batch_size": 4 // ranks, "devices": ranks}
    # Not AdamW: it makes a whole step of a gradient that is nothing but rounding.
    train |= {"optimizer": "sgd", "lr": 0.01}
    stages["train"] = {**train, **stages.get("train", {})}
    config = make.small_run(**stages, watch={"every": 1})
    steps = dataclasses.replace(config.checkpoint, steps=2)
    return dataclasses.replace(config, checkpoint=steps)


def command(make, case, ranks, dataset, run, *more):
    file = run.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(to_dict(settings_of(make, case, ranks))))
    return [sys.executable, "-m", "graphrise", "train", str(dataset), str(run), f"--config={file}"]


def launched(arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def curve_of(run):
    with (run / "metrics.csv").open() as file:
        return [
            {k: float(v) for k, v in row.items() if v and ("loss" in k or k == "step")}
            for row in csv.DictReader(file)
        ]


@pytest.fixture
def graph(dataset):
    return build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "ranks"), [("full", 4), ("sampled", 2)])
def test_ranks_train_as_one_process(make, dataset, graph, tmp_path, case, ranks):
    alone, together = tmp_path / "alone", tmp_path / "together"
    train(dataset, graph, alone, settings_of(make, case, 1), display=make.silent)
    launched(command(make, case, ranks, dataset, together))
    curve = curve_of(alone)
    assert len(curve) == 12
    for here, there in zip(curve, curve_of(together), strict=True):
        for name in here.keys() & there.keys():
            if "/" not in name:  # by kind of edge: of the first rank alone
                assert there[name] == pytest.approx(here[name], rel=TOLERANCE, abs=TOLERANCE), name
    weights = load_file(alone / "encoder.safetensors")
    for name, value in load_file(together / "encoder.safetensors").items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=TOLERANCE)
    if case == "sampled":
        one, shards = (load_table(run / "labels").weight for run in (alone, together))
        torch.testing.assert_close(shards, one, rtol=0, atol=10 * TOLERANCE)


@pytest.mark.slow
def test_torchrun_starts_them_too(make, dataset, graph, tmp_path):
    train = command(make, "bank", 2, dataset, tmp_path / "run")
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "graphrise"]
    launched([sys.executable, *torchrun, *train[3:]])
    assert (tmp_path / "run" / "run.json").is_file()
    assert (tmp_path / "run" / "labels" / "table.json").is_file()


def test_torchrun_sets_the_numbers(monkeypatch):
    assert devices_of(TrainConfig(devices=2, num_nodes=3)) == (2, 3)
    started = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    assert devices_of(TrainConfig()) == (2, 3)
    assert devices_of(TrainConfig(devices=2, num_nodes=3)) == (2, 3)
    with pytest.raises(ConfigError, match=r"torchrun started 2 processes on each of 3 machines"):
        devices_of(TrainConfig(devices=4))
