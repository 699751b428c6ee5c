"""The LightningDataModule: dataset folder and graph to the training loader."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import lightning
import numpy as np
import torch
from torch_geometric.data import Data

from graphrise.config import RunConfig
from graphrise.data.tables import ImageTable
from graphrise.errors import DataError
from graphrise.graph.label_source import source_labels
from graphrise.graph.ragged import Ragged
from graphrise.graph.shuffle import shuffle_nodes
from graphrise.graph.spread import respread
from graphrise.graph.store import Graph
from graphrise.images.dataset import open_images
from graphrise.images.reader import ImageReader
from graphrise.images.readers import reader_of
from graphrise.loader.augment import Augment
from graphrise.loader.batch import TrainingLoader, without_edges
from graphrise.loader.nodes import image_rows
from graphrise.nn.heads.collectives import world
from graphrise.nn.inputs import fitted
from graphrise.train.batches import batch_plan, edge_sampler

HELD_BYTES = 2 * 2**30
"""Of encoded pictures in memory that a user is told of."""

_ROW = 4
"""Batches made between two steps of an encoder that has all cores, and then none for as many."""


class TrainingData(lightning.LightningDataModule):
    """Images, labels and neighbours of one run.

    Attributes:
        config: The run; of an MLP with the width of its input.
        graph: What edges are drawn from.
        spread_graph: What labels are spread over: the same, unless `shuffle_edges` parts them.
        given: Soft labels as the graph has them.
        labels: Soft labels as trained on (spread if the config says so).
        spread_seconds: Wall time of spreading them before training.
        num_labels: C.
        num_labelled: Images with a label: an epoch.
        notes: What a user should know before training starts.
    """

    def __init__(self, dataset: Path, graph: Graph, config: RunConfig) -> None:
        """Check that graph and images fit, and make the labels.

        Raises:
            DataError: A node's image is not in images.parquet, or no image has a label.
            ConfigError: The graph has no edges of a kind that the config names, or the encoder does
                not take such images.
        """
        super().__init__()
        images, store = open_images(dataset)
        encoder = fitted(config.encoder, store.width)
        self.config = config = dataclasses.replace(config, encoder=encoder)
        self.notes = _held_note(images)
        if config.shuffle_graph is not None:
            graph = shuffle_nodes(graph, config.shuffle_graph, config.shuffle_share)
            some = _some(config)
            self.notes.append(f"control run: {some}the graph's nodes are dealt to images at random")
        self.graph = self.spread_graph = graph
        labels, self.num_labels = source_labels(graph, config.labels)
        self.given = labels
        self.spread_seconds = 0.0
        if config.labels.spread:
            start = time.perf_counter()
            before = int((labels.counts > 0).sum())
            labels = respread(graph, labels, config.labels)
            after = int((labels.counts > 0).sum())
            self.spread_seconds = time.perf_counter() - start
            self.notes.append(
                f"labels spread over the graph: {before:,} -> {after:,} labelled images"
            )
        if config.shuffle_edges is not None:
            graph = self.graph = shuffle_nodes(graph, config.shuffle_edges, config.shuffle_share)
            some = _some(config)
            self.notes.append(f"control run: {some}edges of the edge term lead to images at random")
        if graph.num_edges == 0:
            self.notes.append("the graph has no edges: training is cross-entropy only")
        self.relabel(labels)
        self.reader = reader_of(
            store,
            image_rows(graph, images),
            config.images.canvas,
            cache_mib=config.images.cache_mib,
            threads=config.images.threads,
            on_bad_image=config.images.on_bad_image,
        )

    def relabel(self, labels: Ragged) -> None:
        """Train on other soft labels, from the next `train_dataloader` on.

        Args:
            labels: Of the graph's N nodes.

        Raises:
            DataError: No image has one.
        """
        self.num_labelled = int(np.count_nonzero(labels.rowptr[1:] > labels.rowptr[:-1]))
        if self.num_labelled == 0:
            raise DataError(
                "labels spread over the graph leave no image with a label; raise labels.spread_own "
                "or set labels.spread_clamp true"
            )
        self.labels = labels
        self._sampler = edge_sampler(self.graph, labels, self.config)

    def train_dataloader(self) -> TrainingLoader:
        """Loader over this rank's part of the labelled images, and neighbours if they count."""
        trainer = self.trainer
        if trainer is None or trainer.strategy.root_device.type != "cpu":
            return self.loader()
        return self.loader_beside(trainer.lightning_module, trainer.num_devices)

    def loader_beside(self, module: torch.nn.Module, processes: int = 1) -> TrainingLoader:
        """The loader that serves an encoder on the CPU best.

        Where a core is left it works ahead there and augments, too. On cores that the encoder's
        threads have already that would make both slower: pictures in memory are made to batches
        between the steps. Others are still read ahead, since reading may mean waiting.

        Args:
            module: `GraphRise`.
            processes: Of this machine that train, each with torch's number of threads.
        """
        if torch.get_num_threads() * processes < (os.cpu_count() or 1):
            augment = getattr(module, "augment", None)
            return self.loader(augment if isinstance(augment, Augment) else None)
        in_memory = isinstance(self.reader, ImageReader) and self.reader.cached
        return self.loader(row=_ROW if in_memory else None)

    def loader(self, augment: Augment | None = None, *, row: int | None = None) -> TrainingLoader:
        """What `train_dataloader` gives, with settings of the caller's choice.

        Args:
            augment: What augments ahead of the encoder; None: left to the encoder's side.
            row: Batches made one right after another, none ahead; None: ahead, as the config says.
        """
        images, (rank, ranks) = self.config.images, world()
        return TrainingLoader(
            without_edges(self.graph),
            self.reader,
            self.labels,
            self._sampler,
            batch_plan(self.graph, self.labels, self.config, rank=rank, world_size=ranks),
            workers=images.workers,
            prefetch=0 if row else images.prefetch,
            row=row or 1,
            pin_memory=self.config.train.accelerator != "cpu" and torch.cuda.is_available(),
            augment=augment,
        )

    def transfer_batch_to_device(self, batch: Data, device: torch.device, number: int) -> Data:
        """The batch on the device; one that is there is not looked through."""
        if batch["x"].device == device:
            return batch
        return super().transfer_batch_to_device(batch, device, number)


def _some(config: RunConfig) -> str:
    """How many of the nodes a shuffle deals; nothing of all."""
    share = config.shuffle_share
    return "" if share == 1 else f"at {100 * share:g} % of the nodes, "


def _held_note(images: ImageTable) -> list[str]:
    if "image" not in images.table.column_names:
        return []
    held = images.table.column("image").nbytes
    if held <= HELD_BYTES:
        return []
    return [
        f"{held / 1e9:.1f} GB of encoded images are held in memory; `graphrise pack "
        f"{images.folder}` makes a form that is mapped from disk"
    ]
