"""A loss that is not finite ends the run and leaves its batch; no checkpoint is spoiled."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from graphrise.errors import GraphriseError
from graphrise.graph.convert.from_edges import graph_from_edges, named_labels
from graphrise.train.checkpoints import STATE, latest
from graphrise.train.finite import FiniteLoss
from graphrise.train.run import train

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture
def fit(make, dataset):
    rows = pq.read_table(dataset / "images.parquet").to_pylist()
    colour = np.array([row["image_id"].split("-")[0] for row in rows])
    source, target = (colour[:, None] == colour).nonzero()
    # Not from the logs: a machine with a GPU may be without DuckDB.
    nodes = np.flatnonzero([row["split"] != "query" for row in rows])
    labels, names = named_labels(nodes, colour[nodes], np.ones(nodes.size), len(rows))
    graph = graph_from_edges(
        source,
        target,
        image_ids=[row["image_id"] for row in rows],
        labels={"given": labels},
        vocabulary={"given": names},
    )

    def run(folder, **stages):
        return train(dataset, graph, folder, make.small_run(**stages), display=make.silent)

    return run


@pytest.mark.parametrize("device", DEVICES)
def test_the_batch_is_kept_and_the_checkpoint_stays_good(fit, dataset, tmp_path, device):
    run = tmp_path / "r"
    wild = {"lr": 1e30, "passes": 10_000, "warmup": 0.0, "accelerator": device}
    with pytest.raises(GraphriseError, match=r"r: the loss is not finite after") as caught:
        fit(run, train=wild, edges={"alpha": 0.5}, checkpoint={"steps": 1, "keep": 100})
    found = json.loads((run / "bad_batch" / "batch.json").read_text())
    message = str(caught.value)
    for part in (
        f"at step {found['step']} (label_loss ",
        "edge_loss ",
        "lower train.lr",
        f"Its batch is in {run / 'bad_batch'}",
    ):
        assert part in message
    assert {"label_loss", "edge_loss", "loss"} <= set(found["terms"])
    assert found["terms"]["loss"] in ("nan", "inf", "-inf")
    assert found["config"] == str(run / "config.yaml")
    assert found["epoch"] <= found["step"]
    tensors = load_file(run / "bad_batch" / "batch.safetensors")
    assert tensors["x"].dtype == torch.uint8
    assert tensors["x"].shape[1:] == (3, 16, 16)
    assert {"n_id", "edge_index", "label_index", "label_weight"} <= set(tensors)
    known = set(pq.read_table(dataset / "images.parquet")["image_id"].to_pylist())
    assert len(found["image_ids"]) == len(tensors["n_id"]) == len(tensors["x"])
    assert set(found["image_ids"]) <= known
    checkpoint = latest(run)
    assert checkpoint is not None
    state = torch.load(checkpoint / STATE, weights_only=True)
    assert state["global_step"] <= found["step"]
    floats = [v for v in state["state_dict"].values() if v.is_floating_point()]
    assert all(bool(value.isfinite().all()) for value in floats)
    assert not (run / "run.json").exists()


def test_a_good_run_leaves_no_batch(fit, tmp_path):
    fit(tmp_path / "r")
    assert not (tmp_path / "r" / "bad_batch").exists()


def test_weights_that_are_not_finite_are_in_no_checkpoint(tmp_path):
    module, trainer = nn.Linear(2, 2), SimpleNamespace(global_step=7)
    callback = FiniteLoss(tmp_path / "r", [])
    callback.on_save_checkpoint(trainer, module, {})  # pyright: ignore
    for value, fine in ((1e30, True), (float("nan"), False), (float("-inf"), False)):
        with torch.no_grad():
            module.weight[0, 1] = value
        if fine:
            callback.on_save_checkpoint(trainer, module, {})  # pyright: ignore
            continue
        with pytest.raises(GraphriseError, match=r"r: the weights are not finite after 7 steps"):
            callback.on_save_checkpoint(trainer, module, {})  # pyright: ignore


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("hook", ["on_before_backward", "on_save_checkpoint", "on_train_end"])
def test_a_bad_loss_is_found_at_the_next_look(tmp_path, device, hook):
    from torch_geometric.data import Data

    trainer = SimpleNamespace(global_step=4, current_epoch=1)
    module = nn.Linear(2, 2)
    bad, good = (
        SimpleNamespace(
            latest={"loss": torch.tensor(value, device=device)},
            passes=30,
            parameters=module.parameters,
        )
        for value in (float("nan"), 1.0)
    )
    callback = FiniteLoss(tmp_path / "r", ["a", "b"])
    batch = Data(n_id=torch.tensor([1]))
    callback.on_train_batch_start(trainer, bad, batch, 0)  # pyright: ignore

    def look():
        callback.on_before_backward(trainer, bad, bad.latest["loss"])  # pyright: ignore
        trainer.global_step += 1
        callback.on_train_batch_start(trainer, good, Data(n_id=torch.tensor([0])), 1)  # pyright: ignore
        extra = {
            "on_before_backward": [good.latest["loss"]],
            "on_save_checkpoint": [{}],
            "on_train_end": [],
        }
        getattr(callback, hook)(trainer, good, *extra[hook])

    with pytest.raises(GraphriseError, match="after 30 passes, at step 4"):
        look()
    found = json.loads((tmp_path / "r" / "bad_batch" / "batch.json").read_text())
    assert found["image_ids"] == ["b"]
