"""Which head a run has, and that the trainer trains it."""

import dataclasses

import numpy as np
import pytest
import torch

from graphrise.config import GraphConfig, HeadConfig, RunConfig
from graphrise.errors import ConfigError
from graphrise.graph.build import build_graph
from graphrise.graph.ragged import from_entries
from graphrise.nn.heads import (
    FullSoftmax,
    InBatch,
    LogUniform,
    Mixed,
    PartialFC,
    SampledSoftmax,
    Uniform,
    load_table,
)
from graphrise.nn.rowwise import RowwiseAdagrad, RowwiseRMSprop, RowwiseSGD, Together
from graphrise.train.label_head import label_head, row_optimizer
from graphrise.train.module import GraphRise
from graphrise.train.run import train


@pytest.fixture
def graph(dataset):
    return build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)


@pytest.fixture
def fit(make, dataset, graph):
    def run(folder, **stages):
        return train(dataset, graph, folder, make.small_run(**stages), display=make.silent)

    return run


def run_of(**head):
    return RunConfig(head=HeadConfig(**head))


def labels():
    row, index = np.array([0, 1, 1, 2]), np.array([0, 0, 3, 1])
    return from_entries(row, index, np.ones(4), 3)


def test_all_labels_up_to_a_million():
    assert not HeadConfig().sampled(1_000_000)
    assert HeadConfig().sampled(1_000_001)
    assert not HeadConfig(kind="full").sampled(10**9)
    assert HeadConfig(kind="sampled").sampled(2)
    head = label_head(run_of(margin="cosface", margin_size=0.2), 5)
    assert isinstance(head, FullSoftmax)
    assert (head.rule.scale, head.rule.margin, head.rule.margin_size) == (16.0, "cosface", 0.2)
    assert row_optimizer(RunConfig(), head) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [("uniform", Uniform), ("log_uniform", LogUniform), ("in_batch", InBatch), ("mixed", Mixed)],
)
def test_negatives(name, kind):
    head = label_head(run_of(kind="sampled", negatives=name, num_negatives=3), 4, labels())
    assert isinstance(head, SampledSoftmax)
    assert type(head.negatives) is kind
    assert head.smoothing == 0.1
    assert head.table.weight.shape == (4, 64)


def test_in_batch_expects_labels_as_often_as_they_are():
    config = run_of(kind="sampled", negatives="in_batch")
    head = label_head(config, 4, labels())
    assert isinstance(head, SampledSoftmax)
    # Shares of the labels over three images: 1.5, 1, 0, 0.5.
    expected = head.negatives.draw(0, torch.tensor([0])).expected(torch.arange(4))
    np.testing.assert_allclose(expected, [0.5, 1 / 3, 0, 1 / 6], atol=1e-6)
    with pytest.raises(ConfigError, match="frequencies"):
        label_head(config, 4)


def test_partial_fc_and_its_rows():
    config = run_of(
        kind="partial_fc",
        num_negatives=4,
        dtype="bfloat16",
        optimizer="sgd",
        lr=0.5,
        weight_decay=0.1,
    )
    head = label_head(config, 4)
    assert isinstance(head, PartialFC)
    assert head.table.weight.dtype == torch.bfloat16
    rows = row_optimizer(config, head)
    assert isinstance(rows, RowwiseSGD)
    assert (rows.param_groups[0]["lr"], rows.param_groups[0]["weight_decay"]) == (0.5, 0.1)
    rows = row_optimizer(run_of(kind="sampled", optimizer="adagrad", lr=0.3), head)
    assert isinstance(rows, RowwiseAdagrad)
    assert (rows.param_groups[0]["lr"], rows.param_groups[0]["weight_decay"]) == (0.3, 0.05)
    assert isinstance(row_optimizer(run_of(kind="sampled"), head), RowwiseRMSprop)


def test_more_negatives_than_labels():
    with pytest.raises(ConfigError, match=r"8,192 of 4 labels"):
        label_head(run_of(kind="sampled"), 4)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kind": "some"}, "head.kind"),
        ({"num_negatives": 0}, "head.num_negatives"),
        ({"lr": 0.0}, "head.lr"),
        ({"weight_decay": -1.0}, "head.weight_decay"),
        ({"margin_size": -1.0}, "head.margin_size"),
        ({"negatives": "mixed", "replacement": True}, "without replacement"),
    ],
)
def test_settings_out_of_range(setting, message):
    with pytest.raises(ConfigError, match=message):
        HeadConfig(**setting)


def test_a_margin_needs_normalised_embeddings():
    plain = dataclasses.replace(RunConfig().encoder, normalize=False)
    with pytest.raises(ConfigError, match=r"encoder\.normalize"):
        RunConfig(head=HeadConfig(margin="arcface"), encoder=plain)


SAMPLED = {"kind": "sampled", "num_negatives": 2, "lr": 0.1}


@pytest.mark.parametrize(
    "settings",
    [
        SAMPLED,
        SAMPLED | {"negatives": "mixed", "margin": "arcface", "margin_size": 0.1},
        SAMPLED | {"kind": "partial_fc", "dtype": "bfloat16", "optimizer": "sgd"},
    ],
)
def test_the_trainer_updates_the_rows(fit, tmp_path, monkeypatch, settings):
    """Under Lightning's automatic optimisation, on the schedule of the encoder."""
    rates, before = [], []
    plain = Together.step

    def step(self, closure=None):
        table = self.optimizers[1]._tables[0]
        if not before:
            before.append(table.weight.clone())
        result = plain(self, closure)
        rates.append([group["lr"] for group in self.param_groups])
        before[1:] = [table.weight.clone(), int(table.touched.numel())]
        return result

    monkeypatch.setattr(Together, "step", step)
    fit(tmp_path / "r", head=settings)
    first, last, touched = before
    assert not torch.equal(first, last)
    assert last.isfinite().all()
    assert touched > 0
    assert torch.equal(load_table(tmp_path / "r" / "labels").weight, last)
    assert len(rates) > 1
    ratio = settings["lr"] / RunConfig().train.lr
    for adamw, plain_part, row in rates:
        assert adamw == plain_part
        assert row == pytest.approx(adamw * ratio)


def test_a_sampled_run_repeats(fit, tmp_path):
    first, second = (fit(tmp_path / name, head=SAMPLED) for name in "ab")
    assert first.passes == second.passes
    states = [
        torch.load(tmp_path / name / "checkpoint" / "last.ckpt", weights_only=True) for name in "ab"
    ]
    for name, tensor in states[0]["state_dict"].items():
        assert torch.equal(tensor, states[1]["state_dict"][name]), name
    # Not the table: Lightning would copy it in memory.
    assert [n for n in states[0]["state_dict"] if n.startswith("head")] == ["head.step"]


def test_the_module_joins_both_optimisers(make):
    config = make.small_run(head=SAMPLED)
    module = GraphRise(config, 3, 4)
    optimizer = module.configure_optimizers()["optimizer"]
    assert isinstance(optimizer, Together)
    assert isinstance(module.head, SampledSoftmax)
    assert optimizer.param_groups[-1]["params"] == [module.head.table.gradient]
    assert module.head.table.gradient not in set(module.parameters())
