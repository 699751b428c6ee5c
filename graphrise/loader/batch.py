"""What a training batch holds, and the loader that yields it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader

from graphrise.graph.ragged import Ragged
from graphrise.graph.store import Graph
from graphrise.loader.augment import augment_draws
from graphrise.loader.images import ImageReader
from graphrise.loader.order import EpochOrder, EvenBatches
from graphrise.loader.sampler import PairSampler


class AttachImages:
    """Adds images, labels and estimator coefficients to what PyG's loader sampled.

    A batch is a PyG `Data` of N unique images, the B seeds (`batch_size`) first:

    - `x`: uint8 `[N, 3, H, W]`; `augment`: float32 `[N, DRAWS]`; `n_id`: int64 `[N]`
    - `edge_index`: int64 `[2, E]`, local (seed, drawn neighbour); `e_id`: int64 `[E]`
    - `edge_weight`, `edge_coefficient`: float32 `[E]`
    - `label_row`, `label_index`: int64 `[L]`, `label_weight`: float32 `[L]`, of the seeds
    """

    def __init__(self, reader: ImageReader, labels: Ragged, sampler: PairSampler) -> None:
        """Images and labels by node id."""
        self._reader, self._labels, self._sampler = reader, labels, sampler

    def __call__(self, batch: Data) -> Data:
        """Fill a sampled batch."""
        nodes = _tensor(batch, "n_id").numpy()
        seeds = nodes[: batch.batch_size]
        batch.x = self._reader.read(_tensor(batch, "n_id"))
        batch.augment = augment_draws(self._sampler.seed, self._sampler.epoch, nodes)
        drawn_for = seeds[_tensor(batch, "edge_index")[0].numpy()]
        edges = _tensor(batch, "e_id").numpy()
        batch.edge_weight = torch.from_numpy(self._sampler.weight(edges))
        batch.edge_coefficient = torch.from_numpy(self._sampler.coefficient(edges, drawn_for))
        row, index, weight = self._labels.rows(seeds)
        batch.label_row = torch.from_numpy(row)
        batch.label_index = torch.from_numpy(index)
        batch.label_weight = torch.from_numpy(weight)
        return batch


def _tensor(batch: Data, name: str) -> Tensor:
    value = batch[name]
    assert isinstance(value, Tensor)
    return value


def without_edges(graph: Graph) -> Data:
    """A `Data` for `neighbor_loader` that reads no edge: a batch gets its edges from the sampler.

    `graph.convert.to_data` does as well and adds what it holds (`y`, `edge_kind`) to every batch,
    but it makes the whole edge list, 16 bytes an edge, of which a batch uses nothing.
    """
    # PyG gives a batch an edge_index only if the whole has one.
    return Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=graph.num_nodes)


def neighbor_loader(
    data: Data,
    reader: ImageReader,
    labels: Ragged,
    sampler: PairSampler,
    *,
    batch_size: int,
    workers: int = 0,
) -> NodeLoader:
    """PyG `NodeLoader` over the labelled images: an epoch sees each of them once.

    Call `loader.batch_sampler.set_epoch(n)` before an epoch (Lightning does). Batches are a
    function of (sampler.seed, epoch, number), whatever `workers` is.

    Args:
        data: `without_edges`, or the graph with all its edges (`graph.convert.to_data`).
        reader: Images by node id.
        labels: Soft labels by node id; nodes without one are never seeds.
        sampler: Draws the neighbours.
        batch_size: Seeds per batch at most; the batches of an epoch are of even size.
        workers: Worker processes.
    """
    # Not labels.counts: of 20 million images that is 160 MB for a moment.
    seeds = torch.from_numpy(np.flatnonzero(labels.rowptr[1:] > labels.rowptr[:-1]))
    return NodeLoader(
        data,
        node_sampler=sampler,
        input_nodes=seeds,
        transform=AttachImages(reader, labels, sampler),
        filter_per_worker=True,
        batch_sampler=EvenBatches(EpochOrder(seeds.numel(), sampler.seed, sampler), batch_size),
        num_workers=workers,
    )
