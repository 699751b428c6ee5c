"""Labels spread anew while a run trains: from what, when, at what cost, and after a resume."""

import dataclasses
import os
import signal
import subprocess
import sys
from typing import Any

import lightning
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file

from graphrise.config import to_dict
from graphrise.errors import DataError, Stopped
from graphrise.evaluate.embed import embed
from graphrise.graph.spread import respread
from graphrise.graph.store import save_graph
from graphrise.ops.sparse_rows import open_rows
from graphrise.train.data import TrainingData
from graphrise.train.folder import read_run
from graphrise.train.module import GraphRise
from graphrise.train.quiet import quiet_lightning
from graphrise.train.run import bank_of, train
from graphrise.train.spreading import SpreadRefresh

NAMES = [f"{colour}-{i}" for colour in ("red", "green", "blue") for i in range(4)]
WAYS = ("predictions", "embeddings")


@pytest.fixture
def graph(make):
    """The first image of each colour has a label; the last has no edge."""
    edges = [(4 * c + i, 4 * c + j, 0.5) for c in range(3) for i in range(3) for j in range(i)]
    edges += [(2, 6, 0.25), (6, 10, 0.25)]
    made = make.made_graph(12, edges, {4 * c: {c: 1.0} for c in range(3)})
    return dataclasses.replace(made, image_ids=NAMES)


@pytest.fixture
def settings(make):
    """A function: settings of a run of a few epochs, refreshed after every one."""

    def made(way="predictions", passes=90, labels=None, **stages):
        spread = {"spread": True, "spread_refresh": 1, "spread_from": way, **(labels or {})}
        train = {"passes": passes, "batch_size": 4, "lr": 0.01, **stages.pop("train", {})}
        return make.small_run(labels=spread, train=train, **stages)

    return made


@pytest.fixture
def fit(make, dataset, graph):
    def run(folder, config):
        return train(dataset, graph, folder, config, display=make.silent)

    return run


class Seen(Callback):
    """Notes what each epoch was, and what a refresh made of it."""

    def __init__(self, data):
        self.data, self.epochs, self.before, self.fractions = data, [], [], []

    def on_train_epoch_start(self, trainer, pl_module: Any):
        self.epochs.append([])

    def on_train_batch_end(self, trainer, pl_module: Any, outputs, batch, batch_idx):
        self.epochs[-1].append(batch.n_id[: batch.batch_size].tolist())
        self.fractions.append(pl_module.fraction())

    def on_train_epoch_end(self, trainer, pl_module: Any):
        self.before.append((pl_module.passes, pl_module.encoder.training))


@pytest.fixture
def epochs(dataset, graph, tmp_path):
    """A function: so many epochs with Lightning alone; gives data, module, callbacks."""
    torch.set_num_threads(1)

    def run(config, count, more=()):
        data = TrainingData(dataset, graph, config)
        torch.manual_seed(0)
        module = GraphRise(config, data.num_labels, data.num_labelled, labels=data.labels)
        module.bank = bank_of(config, graph.num_nodes, tmp_path)
        seen, refresh = Seen(data), SpreadRefresh(data, tmp_path / "run")
        with quiet_lightning():
            trainer = lightning.Trainer(
                accelerator="cpu",
                default_root_dir=tmp_path,
                max_epochs=count,
                reload_dataloaders_every_n_epochs=1,
                callbacks=[seen, refresh, *more],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(module, datamodule=data)
        return data, module, seen, refresh

    return run


def arrays(labels):
    return labels.rowptr, labels.index, labels.weight


def same(one, other):
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_from_predictions(epochs, settings, graph):
    config = settings(labels={"spread_trust": 0.5, "spread_top": 2})
    data, module, seen, refresh = epochs(config, 1)
    # After the one epoch that there is: encoder and head are those that were asked.
    unlabelled = np.flatnonzero(graph.labels["given"].counts == 0)
    z = torch.from_numpy(embed(module.encoder, data.reader))
    with torch.no_grad():
        share = torch.softmax(module.head.logits(z), dim=1).numpy()
    start = np.zeros((12, 3))
    for c in range(3):
        start[4 * c, c] = 1
    for node in unlabelled:
        best = np.argsort(-share[node])[:2]
        start[node, best] = 0.5 * share[node, best] / share[node, best].sum()
    weights = np.zeros((12, 12))
    row = np.repeat(np.arange(12), np.diff(graph.rowptr))
    weights[row, graph.col] = graph.weight
    mixed = (start + weights @ start) ** 2
    cut = np.sort(mixed, axis=1)[:, -2:-1]
    mixed[mixed < cut] = 0
    mixed /= mixed.sum(axis=1, keepdims=True)
    found = np.zeros((12, 3))
    node, label, weight = data.labels.rows(np.arange(12))
    found[node, label] = weight
    np.testing.assert_allclose(found, mixed, atol=1e-5)
    assert refresh.passes == unlabelled.size == 9
    assert seen.before == [(9, True)]
    assert module.passes == 18
    assert module.encoder.training


def test_from_embeddings(epochs, settings, graph):
    config = settings("embeddings", labels={"spread_steps": 2})
    data, module, seen, refresh = epochs(config, 1)
    z = embed(module.encoder, data.reader)
    want = respread(graph, graph.labels["given"], config.labels, embeddings=z)
    np.testing.assert_array_equal(data.labels.rowptr, want.rowptr)
    np.testing.assert_array_equal(data.labels.index, want.index)
    # Kept as float16.
    np.testing.assert_allclose(data.labels.weight, want.weight, atol=5e-3)
    # The last image of each colour has no edge.
    assert refresh.passes == 9
    assert module.passes - seen.before[0][0] == 9


def test_an_epoch_is_the_images_that_have_a_label_then(epochs, settings):
    data, _, seen, _ = epochs(settings(train={"epochs": 4.0, "passes": None}), 3)
    seeds = [sorted(node for batch in epoch for node in batch) for epoch in seen.epochs]
    linked = [n for n in range(12) if n % 4 < 3]
    assert seeds[0] == linked
    # By then the model takes the images without an edge for something, too.
    assert seeds[1] == seeds[2] == list(range(12))
    assert data.num_labelled == 12
    assert [len(epoch) for epoch in seen.epochs] == [3, 3, 3]
    # Of four epochs three are over, whatever their lengths were.
    ends = [seen.fractions[i] for i in (2, 5, 8)]
    np.testing.assert_allclose(ends, [0.25, 0.5, 0.75])


def test_an_epoch_may_have_other_batches(epochs, settings):
    _, _, seen, _ = epochs(settings(train={"batch_size": 3}), 3)
    assert [len(epoch) for epoch in seen.epochs] == [3, 4, 4]
    assert sorted(n for batch in seen.epochs[2] for n in batch) == list(range(12))


@pytest.mark.parametrize("way", WAYS)
def test_workers_see_the_new_labels(fit, settings, tmp_path, way):
    for workers in (0, 1):
        fit(tmp_path / str(workers), settings(way, images={"workers": workers}))
    alone, helped = (load_file(tmp_path / n / "encoder.safetensors") for n in "01")
    assert all(torch.equal(alone[name], helped[name]) for name in alone)


def test_every_so_many_epochs_and_the_last_three_stay(fit, settings, tmp_path):
    fit(tmp_path / "r", settings(passes=140, labels={"spread_refresh": 2}))
    # 9 passes the first epoch, 12 the others, 9 a refresh.
    kept = sorted(p.name for p in (tmp_path / "r" / "spread").iterdir())
    assert kept == ["002", "003", "004"]
    fit(tmp_path / "s", settings(passes=40, labels={"spread_refresh": 2}))
    assert [p.name for p in (tmp_path / "s" / "spread").iterdir()] == ["001"]
    first = [open_rows(tmp_path / n / "spread" / d) for n, d in (("r", "004"), ("s", "001"))]
    assert not np.array_equal(first[0].weight, first[1].weight)


class SavedOnce(Callback):
    """Writes a checkpoint at the end of the first epoch."""

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 0:
            trainer.save_checkpoint(f"{trainer.default_root_dir}/once.ckpt")


def test_what_a_checkpoint_needs_stays(epochs, settings, tmp_path):
    epochs(settings(passes=10_000), 6, [SavedOnce()])
    kept = sorted(p.name for p in (tmp_path / "run" / "spread").iterdir())
    assert kept == ["001", "004", "005", "006"]
    state = torch.load(tmp_path / "once.ckpt", weights_only=True)["callbacks"]["SpreadRefresh"]
    assert (state["number"], state["seeds"], state["passes"]) == (1, 9, 9)


def test_passes_end_where_the_budget_does(fit, settings, tmp_path):
    result = fit(tmp_path / "r", settings(passes=31))
    # 9 + 9, 4, 4, 4, and the refresh after that would be the end.
    assert result.passes == 34
    assert result.notes[-1] == (
        "labels spread anew 1 times, from predictions: 12 labelled images, 9 encoder passes"
    )
    assert read_run(tmp_path / "r")[2].notes == result.notes
    never = fit(tmp_path / "s", settings(passes=15))
    assert never.notes[-1] == (
        "labels were never spread anew: the budget left no room for it after 1 epochs"
    )
    assert not (tmp_path / "s" / "spread").exists()


def test_a_bank_that_has_all_of_them_costs_nothing(epochs, settings, graph):
    bank = {"alpha": 0.5, "embeddings": "bank"}
    data, module, _, refresh = epochs(settings("embeddings", edges=bank), 1)
    # Images without an edge are swept into it, or are not in it after one epoch.
    assert (module.bank.step >= 0).sum() == 12
    assert refresh.passes == 0
    table = module.bank.table.numpy()
    same(
        data.labels,
        respread(graph, graph.labels["given"], data.config.labels, embeddings=table),
    )
    config = settings("embeddings", edges={**bank, "bank": dataclasses.replace(
        data.config.edges.bank, sweep_every=None
    )})  # fmt: skip
    assert epochs(config, 1)[3].passes == 9


def test_pictures_that_cannot_be_read_say_nothing(make, epochs, settings, dataset, graph):
    rows = make.coloured_rows()
    for row in rows:
        if row["image_id"] in ("red-3", "green-1"):
            row["image"] = b"no image"
    make.save_tables(dataset, rows)
    config = settings(images={"on_bad_image": "skip"})
    data, module, _, _ = epochs(config, 1)
    assert set(module.bad_images) == {NAMES.index("red-3"), NAMES.index("green-1")}
    assert data.labels.counts[NAMES.index("red-3")] == 0
    data = epochs(settings("embeddings", images={"on_bad_image": "skip"}), 1)[0]
    assert data.labels.counts[NAMES.index("green-1")] == 0
    with pytest.raises(DataError, match="cannot be read"):
        epochs(settings(images={"on_bad_image": "raise"}), 1)


def test_in_batch_negatives_count_the_new_labels(epochs, settings):
    head = {"kind": "sampled", "negatives": "in_batch"}
    data, module, _, _ = epochs(settings(head=head), 1)
    want = np.bincount(data.labels.index, weights=data.labels.weight, minlength=3)
    drawn = module.head.negatives.draw(0, torch.arange(3))
    share = torch.from_numpy(want / want.sum())
    torch.testing.assert_close(
        drawn.expected(torch.arange(3)), 1 - (1 - share) ** 3, rtol=1e-5, atol=0
    )


def test_state_after_a_reload_is_the_state_before(epochs, settings, dataset, graph, tmp_path):
    data, module, _, refresh = epochs(settings(train={"epochs": 9.0, "passes": None}), 3)
    again = TrainingData(dataset, graph, data.config)
    other = GraphRise(again.config, again.num_labels, again.num_labelled, labels=again.labels)
    checkpoint = {}
    module.on_save_checkpoint(checkpoint)
    other.on_load_checkpoint(checkpoint)
    loaded = SpreadRefresh(again, tmp_path / "run")
    loaded.load_state_dict(refresh.state_dict())
    loaded.on_fit_start(None, other)  # pyright: ignore[reportArgumentType]
    assert loaded.state_dict() == refresh.state_dict()
    same(again.labels, data.labels)
    assert again.num_labelled == data.num_labelled
    assert other.fraction() == module.fraction()
    assert len(again.train_dataloader()) == len(data.train_dataloader())


class Cut(Exception):
    """What ends a run in the middle of a step."""


@pytest.fixture
def cut_run(make, dataset, graph, tmp_path, monkeypatch):
    """Train, or go on; `cut=k` ends it in the k-th step, `stop=k` asks it to stop there."""
    step = GraphRise.training_step

    def run(name, config, cut=None, stop=None, resume=False):
        steps = 0

        def counted(self, batch, batch_idx):
            nonlocal steps
            steps += 1
            if steps == cut:
                raise Cut
            if steps == stop:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(self, batch, batch_idx)

        monkeypatch.setattr(GraphRise, "training_step", counted)
        return train(dataset, graph, tmp_path / name, config, display=make.silent, resume=resume)

    return run


@pytest.mark.parametrize(
    ("way", "budget", "workers", "cuts"),
    [
        # Three steps, a refresh, four steps, a refresh.
        ("predictions", {"passes": 60}, 0, (3, 4, 6, 8)),
        ("embeddings", {"passes": None, "epochs": 3.5}, 0, (3, 4, 10)),
        ("predictions", {"passes": 40}, 1, (6,)),
    ],
)
def test_a_resumed_run_goes_on_bit_for_bit(settings, cut_run, tmp_path, way, budget, workers, cuts):
    # Labels of two edges away depend on how much each edge weighs.
    config = settings(
        way,
        labels={"spread_steps": 2},
        train={"batch_size": 3, **budget},
        images={"workers": workers},
    )
    config = dataclasses.replace(config, checkpoint=dataclasses.replace(config.checkpoint, steps=1))
    whole = cut_run("whole", config)
    for cut in cuts:
        with pytest.raises(Cut):
            cut_run(str(cut), config, cut)
        spread = tmp_path / str(cut) / "spread"
        assert spread.exists() == (cut > 3)
        if cut == 3:
            # As of a process that was killed in the refresh after this step.
            (spread / "001").mkdir(parents=True)
            (spread / ".scratch").mkdir()
        result = cut_run(str(cut), config, resume=True)
        assert (result.passes, result.notes) == (whole.passes, whole.notes)
        assert not list(spread.glob(".*"))
        curves = [[{**e, "seconds": 0.0} for e in r.curve] for r in (whole, result)]
        assert curves[0] == curves[1]
        runs = (tmp_path / "whole", tmp_path / str(cut))
        first, second = (load_file(r / "encoder.safetensors") for r in runs)
        assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("step", [2, 3, 7])
def test_a_stopped_run_goes_on_bit_for_bit(settings, cut_run, tmp_path, step):
    # The third and the seventh step end an epoch: no refresh delays the stop.
    config = settings(train={"batch_size": 3}, passes=60)
    whole = cut_run("whole", config)
    with pytest.raises(Stopped):
        cut_run("r", config, stop=step)
    assert (tmp_path / "r" / "spread" / "001").exists() == (step == 7)
    assert not (tmp_path / "r" / "spread" / "002").exists()
    result = cut_run("r", config, resume=True)
    assert (result.passes, result.notes) == (whole.passes, whole.notes)
    first, second = (load_file(tmp_path / n / "encoder.safetensors") for n in ("whole", "r"))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow
def test_ranks_refresh_as_one_process(make, settings, dataset, graph, tmp_path):
    save_graph(graph, dataset / "graph")
    # No batch normalisation: its statistics are each rank's own.
    encoder = {"name": "test_vit", "kwargs": {"img_size": 16, "patch_size": 8}, "dim": 8}
    head = {"kind": "sampled", "num_negatives": 2, "negatives": "uniform"}
    for ranks in (1, 2):
        train = {"passes": 60, "batch_size": 6 // ranks, "lr": 1e-3, "devices": ranks}
        config = settings(train=train, encoder=encoder, head=head)
        file, run = tmp_path / f"{ranks}.yaml", tmp_path / str(ranks)
        file.write_text(yaml.safe_dump(to_dict(config)))
        command = ["-m", "graphrise", "train", str(dataset), str(run), f"--config={file}"]
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    results = [read_run(tmp_path / n)[2] for n in "12"]
    assert results[0].passes == results[1].passes
    assert results[0].notes == results[1].notes
    for number in ("001", "002"):
        one, two = (open_rows(tmp_path / n / "spread" / number) for n in "12")
        np.testing.assert_array_equal(one.rowptr, two.rowptr)
        np.testing.assert_array_equal(one.index, two.index)
        np.testing.assert_allclose(one.weight, two.weight, atol=1e-4)
