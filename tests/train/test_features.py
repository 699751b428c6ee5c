"""Training on rows of a matrix."""

import csv

import numpy as np
import pytest
import torch

from graphrise.config import AdversarialConfig, EncoderConfig, GraphConfig, from_dict, to_dict
from graphrise.errors import ConfigError
from graphrise.graph.build import build_graph
from graphrise.nn.encoder import load_encoder
from graphrise.train.data import TrainingData
from graphrise.train.folder import read_run
from graphrise.train.run import train

ENCODER = {"name": "mlp", "dim": 8, "kwargs": {"hidden": 16, "layers": 1}}


@pytest.fixture
def nodes(make, tmp_path):
    """(dataset, graph) of twelve nodes; every second one is labelled."""
    rows = [
        {"image_id": f"n{i}", "split": "train", "label": None if i % 2 else f"{i % 3}"}
        for i in range(12)
    ]
    edges = [{"source": f"n{i}", "target": f"n{(i + 3) % 12}", "weight": 1.0} for i in range(12)]
    dataset = make.save_tables(tmp_path / "nodes", rows, edges=edges)
    values = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    np.save(dataset / "features.npy", values)
    return dataset, build_graph(dataset, dataset / "graph", GraphConfig())


def batches(data):
    loader = data.train_dataloader()
    loader.set_epoch(1)
    return list(loader)


def test_batches_hold_rows_whatever_the_workers(make, nodes):
    values = torch.from_numpy(np.load(nodes[0] / "features.npy"))
    settings = {"encoder": ENCODER, "edges": {"alpha": 1.0, "neighbors": 2}}
    data = TrainingData(nodes[0], nodes[1], make.small_run(**settings))
    assert data.config.encoder.kwargs["features"] == 5
    found = batches(data)
    assert sum(b.batch_size for b in found) == 6
    for batch in found:
        assert batch.x.dtype == torch.float32
        assert torch.equal(batch.x, values[batch.n_id])
    others = batches(
        TrainingData(nodes[0], nodes[1], make.small_run(images={"workers": 1}, **settings))
    )
    for batch, other in zip(found, others, strict=True):
        assert torch.equal(batch.x, other.x)
        assert torch.equal(batch.n_id, other.n_id)


def test_encoder_and_images_of_two_kinds(make, nodes, dataset):
    with pytest.raises(ConfigError, match=r"rows of features.npy: train with encoder.name=mlp"):
        TrainingData(nodes[0], nodes[1], make.small_run())
    graph = build_graph(dataset, dataset / "graph", GraphConfig())
    with pytest.raises(ConfigError, match="the images of this dataset are pictures"):
        TrainingData(dataset, graph, make.small_run(encoder=ENCODER))


@pytest.mark.parametrize(
    "stages",
    [
        {"labels": {"spread": True, "spread_refresh": 1}},
        {"edges": {"alpha": 1.0, "neighbors": 2, "embeddings": "stop_gradient"}},
        {"edges": {"alpha": 1.0, "neighbors": 2}, "encoder": {**ENCODER, "bn": "apart"}},
        {"edges": {"adversarial": AdversarialConfig(kind="vat")}},
        {"edges": {"alpha": 1.0, "embeddings": "bank"}, "train": {"ema": 0.9, "passes": 24}},
    ],
)
def test_every_way_to_use_the_graph(make, nodes, tmp_path, stages):
    config = make.small_run(**{"encoder": ENCODER, **stages})
    train(nodes[0], nodes[1], tmp_path / "run", config, display=make.silent)
    kept, _, result = read_run(tmp_path / "run")
    assert kept.encoder.kwargs == {**ENCODER["kwargs"], "features": 5}
    assert from_dict(EncoderConfig, to_dict(kept.encoder)) == kept.encoder
    assert result.passes >= 24
    encoder, _ = load_encoder(tmp_path / "run")
    assert encoder(torch.zeros(2, 5)).shape == (2, 8)


def test_a_bad_row_counts_nothing_and_is_listed(make, nodes, tmp_path):
    values = np.load(nodes[0] / "features.npy")
    values[4, 2] = np.nan
    np.save(nodes[0] / "features.npy", values)
    config = make.small_run(encoder=ENCODER, images={"on_bad_image": "skip"})
    train(nodes[0], nodes[1], tmp_path / "run", config, display=make.silent)
    with (tmp_path / "run" / "bad_images.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "image_id": "n4",
        "source": "features.npy, row 4",
        "reason": "holds NaN or infinity",
    }
    assert all(p.isfinite().all() for p in load_encoder(tmp_path / "run")[0].parameters())
