"""Lightning's trainer as a run's settings want it."""

import pytest
import torch

from graphrise.config import GraphConfig
from graphrise.errors import ConfigError
from graphrise.graph.build import build_graph
from graphrise.nn.heads import load_table
from graphrise.train.module import GraphRise
from graphrise.train.run import train
from graphrise.train.trainer import precision_of


def test_fp16_wants_a_gpu(make, monkeypatch):
    def of(accelerator):
        settings = {"precision": "16-mixed", "accelerator": accelerator}
        return precision_of(make.small_run(train=settings))

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for accelerator in ("auto", "cpu", "cuda"):
        with pytest.raises(ConfigError, match=r"train\.precision=16-mixed needs a GPU"):
            of(accelerator)
    assert of("mps") == "16-mixed"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert of("auto") == of("cuda") == "16-mixed"
    with pytest.raises(ConfigError, match="needs a GPU"):
        of("cpu")


def test_a_precision_that_is_not_there_leaves_no_folder(make, dataset, tmp_path):
    graph = build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)
    config = make.small_run(train={"precision": "16-mixed"})
    with pytest.raises(ConfigError, match="needs a GPU"):
        train(dataset, graph, tmp_path / "r", config, display=make.silent)
    assert not (tmp_path / "r").exists()


class Cut(Exception):
    """What ends a run in the middle of a step."""


@pytest.mark.parametrize("cut", [2, 4, 5])
def test_every_option_at_once_and_resumed(make, dataset, tmp_path, monkeypatch, cut):
    graph = build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)
    config = make.small_run(
        labels={"spread": True},
        encoder={"bn": "apart", "checkpointing": True, "lr_factor": 0.5},
        edges={"alpha": 1.0},
        head={"kind": "sampled", "num_negatives": 2},
        checkpoint={"steps": 1},
        # Three batches an epoch: a step of two of them and a step of one.
        train={
            "batch_size": 4,
            "passes": 50,
            "optimizer": "sgd",
            "schedule": "one_cycle",
            "accumulate": 2,
            "clip": 1.0,
            "ema": 0.9,
        },
    )

    def fit(name, resume=False):
        run = tmp_path / name
        result = train(dataset, graph, run, config, display=make.silent, resume=resume)
        assert result.passes >= 50
        return torch.load(run / "checkpoint" / "last.ckpt", weights_only=True)["state_dict"]

    whole = fit("whole")
    plain, count = GraphRise.training_step, 0

    def counted(self, batch, batch_idx):
        nonlocal count
        count += 1
        if count == cut:
            raise Cut
        return plain(self, batch, batch_idx)

    monkeypatch.setattr(GraphRise, "training_step", counted)
    with pytest.raises(Cut):
        fit("r")
    resumed = fit("r", resume=True)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    table, other = (load_table(tmp_path / name / "labels").weight for name in ("whole", "r"))
    assert torch.equal(table, other)
