"""The batches of a run, written down for a peer that takes them as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphrise.config import RunConfig
from graphrise.graph.store import Graph
from graphrise.train.data import TrainingData
from graphrise.train.module import GraphRise
from graphrise.train.schedule import rate


def built(dataset: Path, graph: Graph, config: RunConfig) -> tuple[TrainingData, GraphRise]:
    """Data and module of a run; the weights are those that `train` begins with."""
    data = TrainingData(dataset, graph, config)
    torch.manual_seed(config.train.seed)
    module = GraphRise(
        config, data.num_labels, data.num_labelled, labels=data.labels, kinds=graph.kinds
    )
    return data, module


def write_batches(dataset: Path, graph: Graph, config: RunConfig, folder: Path) -> float:
    """Write every batch of a run of one neighbour, augmented, and the weights that it begins with.

    `nsl_train_peer` says what the files hold. Pixels are rounded to bytes.

    Args:
        dataset: Dataset folder.
        graph: Its graph.
        config: The run, of `epochs` epochs.
        folder: To fill.

    Returns:
        The label loss of the first batch with those weights.
    """
    data, module = built(dataset, graph, config)
    np.savez(folder / "weights.npz", **_weights(module))
    loader, epochs = data.train_dataloader(), config.train.epochs
    assert epochs is not None
    count, side = round(epochs * data.num_labelled), config.images.size
    kinds: dict[str, tuple[Any, tuple[int, ...]]] = {
        "images": (np.uint8, (side, side, 3)),
        "neighbors": (np.uint8, (side, side, 3)),
        "nodes": (np.int64, ()),
        "neighbor_nodes": (np.int64, ()),
        "labels": (np.int64, ()),
        "present": (np.float32, ()),
    }
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (count, *shape))
        for name, (dtype, shape) in kinds.items()
    }
    ends, lr, at, epoch, first = [], [], 0, 0, 0.0
    while at < count:
        loader.set_epoch(epoch)
        for batch in loader:
            if at == count:
                break
            end = at + batch.batch_size
            columns = _columns(module, batch)
            for name, values in columns.items():
                files[name][at:end] = values
            first = first or _label_loss(module, columns)
            lr.append(config.train.lr * rate(config.train, at / count))
            ends.append(at := end)
        epoch += 1
    np.save(folder / "ends.npy", np.array(ends))
    pictures = data.reader.read(torch.arange(graph.num_nodes))
    np.save(folder / "pictures.npy", pictures.permute(0, 2, 3, 1).contiguous().numpy())
    settings = {**_settings(config), "lr": lr}
    (folder / "batches.json").write_text(json.dumps(settings), encoding="utf-8")
    return first


def _settings(config: RunConfig) -> dict[str, Any]:
    """What the peer has to know of the run, by the names that it knows."""
    images = config.images
    return {
        "moved": {"zoom": images.scale, "shift": images.shift, "degrees": images.rotate},
        "colour": images.colour,
        "flip": images.flip,
        "side": images.size,
        "scale": config.head.scale,
        "smoothing": config.head.smoothing,
        "weight_decay": config.train.weight_decay,
    }


@torch.no_grad()
def _columns(module: GraphRise, batch: Data) -> dict[str, np.ndarray]:
    pixels = _bytes(module, module.augment(batch["x"], batch.augment))
    seeds, (image, neighbor) = batch.batch_size, batch["edge_index"]
    neighbors = torch.zeros_like(pixels[:seeds])
    neighbors[image] = pixels[neighbor]
    present = torch.zeros(seeds)
    present[image] = batch.edge_coefficient.float()
    neighbor_nodes, labels = torch.zeros(2, seeds, dtype=torch.long)
    neighbor_nodes[image] = batch.n_id[neighbor]
    labels[batch.label_row] = batch.label_index
    found = {
        "images": pixels[:seeds],
        "neighbors": neighbors,
        "nodes": batch.n_id[:seeds],
        "neighbor_nodes": neighbor_nodes,
        "labels": labels,
        "present": present,
    }
    return {name: value.numpy() for name, value in found.items()}


def _bytes(module: GraphRise, x: Tensor) -> Tensor:
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in (module.encoder.mean, module.encoder.std)
    )
    return ((x * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


@torch.no_grad()
def _label_loss(module: GraphRise, columns: dict[str, np.ndarray]) -> float:
    """Of the labelled images alone, as a run without a graph has it; the module stays as it is."""
    before = {name: value.clone() for name, value in module.state_dict().items()}
    labels = torch.from_numpy(columns["labels"])
    x = torch.from_numpy(columns["images"]).permute(0, 3, 1, 2) / 127.5 - 1
    row, share = torch.arange(len(labels)), torch.ones(len(labels))
    loss = module.head(module.encoder(x), row, labels, share)
    module.load_state_dict(before)
    return float(loss)


def _weights(module: GraphRise) -> dict[str, Any]:
    found = {**module.encoder.state_dict(), "head.weight": module.head.weight}
    return {
        name: value.detach().numpy()
        for name, value in found.items()
        if not name.endswith("num_batches_tracked")
    }
