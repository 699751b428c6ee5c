"""The LightningDataModule: dataset folder and graph to the training loader."""

from __future__ import annotations

from pathlib import Path

import lightning
import torch

from graphrise.config import RunConfig
from graphrise.data.tables import ImageTable
from graphrise.graph.build import require_labels
from graphrise.graph.shuffle import shuffle_nodes
from graphrise.graph.spread import spread_labels
from graphrise.graph.store import Graph
from graphrise.images.dataset import open_images
from graphrise.images.reader import ImageReader
from graphrise.loader.batch import TrainingLoader, without_edges
from graphrise.loader.nodes import image_rows
from graphrise.train.batches import batch_plan, edge_sampler

HELD_BYTES = 2 * 2**30
"""Of encoded pictures in memory that a user is told of."""


class TrainingData(lightning.LightningDataModule):
    """Images, labels and neighbours of one run.

    Attributes:
        labels: Soft labels as trained on (spread if the config says so).
        num_labels: C.
        num_labelled: Images with a label: an epoch.
        notes: What a user should know before training starts.
    """

    def __init__(self, dataset: Path, graph: Graph, config: RunConfig) -> None:
        """Check that graph and images fit, and make the labels.

        Raises:
            DataError: A node's image is not in images.parquet, or no image has a label.
            ConfigError: The graph has no edges of a kind that the config names.
        """
        super().__init__()
        self.config = config
        images, store = open_images(dataset)
        self.notes = _held_note(images)
        if config.shuffle_graph is not None:
            graph = shuffle_nodes(graph, config.shuffle_graph)
            self.notes.append("control run: the graph's nodes are dealt to images at random")
        self.graph = graph
        self.labels = require_labels(graph, config.labels.source)
        if config.labels.spread:
            before = int((self.labels.counts > 0).sum())
            self.labels = spread_labels(
                graph, self.labels, power=config.labels.spread_power, top=config.labels.spread_top
            )
            after = int((self.labels.counts > 0).sum())
            self.notes.append(
                f"labels spread over the graph: {before:,} -> {after:,} labelled images"
            )
        if config.shuffle_edges is not None:
            graph = self.graph = shuffle_nodes(graph, config.shuffle_edges)
            self.notes.append("control run: edges of the edge term lead to images at random")
        self.num_labels = len(graph.vocabulary[config.labels.source])
        self.num_labelled = int((self.labels.counts > 0).sum())
        if graph.num_edges == 0:
            self.notes.append("the graph has no edges: training is cross-entropy only")
        self._sampler = edge_sampler(graph, self.labels, config)
        self.reader = ImageReader(
            store,
            image_rows(graph, images),
            config.images.canvas,
            cache_mib=config.images.cache_mib,
            threads=config.images.threads,
            on_bad_image=config.images.on_bad_image,
        )

    def train_dataloader(self) -> TrainingLoader:
        """Loader over the labelled images; draws neighbours only if the edge term counts."""
        images = self.config.images
        return TrainingLoader(
            without_edges(self.graph),
            self.reader,
            self.labels,
            self._sampler,
            batch_plan(self.graph, self.labels, self.config),
            workers=images.workers,
            prefetch=images.prefetch,
            pin_memory=self.config.train.accelerator != "cpu" and torch.cuda.is_available(),
        )


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
