"""What a training batch holds, and the PyG loader that yields it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader
from torch_geometric.sampler import SamplerOutput

from graphrise.errors import ConfigError
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import Graph
from graphrise.images.readers import Reader
from graphrise.loader.augment import Augment, augment_draws
from graphrise.loader.base import EdgeSampler, Sample
from graphrise.loader.order import EvenBatches, Shuffled
from graphrise.loader.plan import BatchPlan, roles
from graphrise.loader.prefetch import ahead, in_rows


def without_edges(graph: Graph) -> Data:
    """A `Data` for `TrainingLoader` that reads no edge: a batch gets its edges from the sampler.

    `graph.convert.to_data` does as well and adds what it holds (`y`, `edge_weight`) to every batch,
    but it makes the whole edge list, 16 bytes an edge, of which a batch uses nothing.
    """
    # PyG gives a batch an edge_index only if the whole has one.
    return Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=graph.num_nodes)


class TrainingLoader(NodeLoader):
    """PyG `NodeLoader` over the labelled images: an epoch sees each of them once.

    Call `set_epoch(n)` before an epoch (Lightning does). Batches are a function of (seed, epoch,
    number), whatever `workers`, `prefetch` and `row` are. `state_dict` says which batch comes next;
    `load_state_dict` goes on with that one.

    A batch is a PyG `Data` of N unique images: B labelled ones (`batch_size`), `num_others`
    unlabelled ones whose own edges count, drawn neighbours, and last `num_forward` images to be
    encoded without gradient. It holds

    - `x`: uint8 `[N, 3, H, W]`, channels_last, or features, float32 `[N, D]`; `augment`: float32
      `[N, DRAWS]`; `n_id`: int64 `[N]`
    - if the loader augments: `augmented`, float32 `[N, 3, size, size]`, what follows from these two
    - `edge_index`: int64 `[2, E]`, local (image whose edge term is estimated, neighbour), those of
      labelled images first (`num_seed_edges`); `e_id`: int64 `[E]`; `edge_coefficient`: float32
      `[E]`; `edge_kind`: int64 `[E]`, bits of `Graph.kinds`
    - `label_row`, `label_index`: int64 `[L]`, `label_weight`: float32 `[L]`, of labelled images
    - with a bank: `bank_row` int64 `[F]` (local), `bank_node` int64 `[F]` (node of the graph),
      `bank_coefficient` float32 `[F]`, `bank_kind` int64 `[F]`, those of labelled images first
      (`num_seed_bank`)
    - if pictures could not be read and that is allowed: `bad_node` int64, `bad_reason` list[str].
      They are grey and count nothing: no label, coefficient 0.
    """

    def __init__(
        self,
        data: Data,
        reader: Reader,
        labels: Ragged,
        sampler: EdgeSampler,
        plan: BatchPlan,
        *,
        workers: int = 0,
        prefetch: int = 2,
        row: int = 1,
        pin_memory: bool = False,
        augment: Augment | None = None,
    ) -> None:
        """Load what `plan` says.

        Args:
            data: `without_edges`, or the graph with all its edges (`graph.convert.to_data`).
            reader: Images by node id.
            labels: Soft labels by node id.
            sampler: Draws the edges.
            plan: Images of every batch.
            workers: Worker processes; 0 makes batches in this process, whose decoding threads
                need no other.
            prefetch: Batches made ahead by a thread of this process; 0: none. With worker
                processes it is they who work ahead.
            row: Batches made one right after another where none is made ahead (`in_rows`), from 1.
            pin_memory: Put batches where a GPU copies from fast.
            augment: What augments for an encoder on the CPU: ahead of it, in the thread that makes
                the batches, if one does. None: left to whoever gets them, on their device.

        Raises:
            ConfigError: `row` is below 1, or `prefetch` below 0.
        """
        if row < 1 or prefetch < 0:
            raise ConfigError(
                f"loader: row must be at least 1 and prefetch at least 0, got {row} and {prefetch}"
            )
        self._reader, self._labels, self._plan = reader, labels, plan
        self.prefetch, self.row, self.augment = prefetch, row, augment
        self._start = self._next = 0
        super().__init__(
            data,
            node_sampler=sampler,
            # The plan's numbers are the data set; PyG wants a tensor of that length, this has none.
            input_nodes=torch.zeros(1, dtype=torch.long).expand(plan.numbers),
            filter_per_worker=True,
            batch_sampler=plan,
            num_workers=workers,
            pin_memory=pin_memory,
            # Of its own: a loader draws a number an epoch, and a resumed one would draw another.
            generator=torch.Generator(),
        )

    @property
    def plan(self) -> BatchPlan:
        """What the batches are made of."""
        return self._plan

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, before iterating; a plain loop must, Lightning does."""
        self._plan.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Epoch and number of the batch that comes after the last one given."""
        return {"epoch": self._plan.batches.epoch, "batch": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration begin with the batch that a `state_dict` names.

        At the end of an epoch that is the first of the next.
        """
        epoch, batch = int(state["epoch"]), int(state["batch"])
        over = batch >= len(self._plan)
        self.set_epoch(epoch + over)
        self._start = self._next = 0 if over else batch

    def __iter__(self) -> Iterator[Any]:
        sampler = self.node_sampler
        assert isinstance(sampler, EdgeSampler)
        # Before workers get their copy of it.
        sampler.epoch = self._plan.batches.epoch
        self._plan.first, self._next = self._start, self._start
        self._start = 0
        if self.num_workers:
            source = self._batches()
        elif self.prefetch:
            source = ahead(self._batches, self.prefetch)
        else:
            source = in_rows(self._batches(), self.row)
        for batch in source:
            self._next += 1
            yield batch

    def _batches(self) -> Iterator[Any]:
        for batch in super().__iter__():
            if self.augment is not None:
                batch.augmented = self.augment(batch.x, batch.augment)
            yield batch

    def collate_fn(self, index: list[int] | Tensor) -> Data:
        """The batch of a plan's numbers."""
        codes = np.asarray(index, dtype=np.int64)
        seeds, others, sweep = roles(codes, len(self._labels))
        assert isinstance(self.node_sampler, EdgeSampler)
        return self.filter_fn(self.node_sampler.sample(seeds, others, sweep))

    def filter_fn(self, out: SamplerOutput) -> Data:
        """Add images, augmentation and labels to what was sampled."""
        assert isinstance(out, Sample)
        batch: Any = super().filter_fn(out)
        for name, value in out.extras.items():
            batch[name] = value
        nodes = out.node.numpy()
        batch.x, bad = self._reader.read_noting(out.node)
        sampler = self.node_sampler
        batch.augment = augment_draws(sampler.seed, sampler.epoch, nodes)  # type: ignore[union-attr]
        row, index, weight = self._labels.rows(nodes[: batch.batch_size])
        batch.label_row = torch.from_numpy(row)
        batch.label_index = torch.from_numpy(index)
        batch.label_weight = torch.from_numpy(weight)
        if bad:
            _mute(batch, bad)
        return batch


def _mute(batch: Any, bad: dict[int, str]) -> None:
    """Let pictures that could not be read count nothing."""
    ids = torch.tensor(sorted(bad))
    batch.bad_node, batch.bad_reason = ids, [bad[i] for i in ids.tolist()]
    fine = ~torch.isin(batch.n_id, ids)
    keep = fine[batch.label_row]
    for name in ("label_row", "label_index", "label_weight"):
        batch[name] = batch[name][keep]
    batch.edge_coefficient = batch.edge_coefficient * fine[batch.edge_index].all(dim=0)
    if "bank_row" in batch:
        batch.bank_coefficient = batch.bank_coefficient * fine[batch.bank_row]


def neighbor_loader(
    data: Data,
    reader: Reader,
    labels: Ragged,
    sampler: EdgeSampler,
    *,
    batch_size: int,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> TrainingLoader:
    """A `TrainingLoader` over a permutation of the labelled images, anew every epoch.

    Args:
        data: See `TrainingLoader`.
        reader: Images by node id.
        labels: Soft labels by node id; nodes without one are never seeds.
        sampler: Draws the edges; the permutation follows from its seed too.
        batch_size: Seeds per batch at most; the batches of an epoch are of even size.
        workers: Worker processes.
        rank: Which part of every batch is given.
        world_size: Parts of every batch; no image is in two.
    """
    # Not labels.counts: of 20 million images that is 160 MB for a moment.
    nodes = np.flatnonzero(labels.rowptr[1:] > labels.rowptr[:-1])
    order = Shuffled(nodes.size, sampler.seed)
    batches = EvenBatches(order, batch_size, rank=rank, world_size=world_size)
    plan = BatchPlan(batches, nodes, len(labels), seed=sampler.seed)
    return TrainingLoader(data, reader, labels, sampler, plan, workers=workers)
