"""The LightningDataModule: dataset folder and graph to the training loader."""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
from torch_geometric.loader import NodeLoader

from graphrise.config import RunConfig
from graphrise.data.tables import ImageTable, read_images
from graphrise.errors import DataError
from graphrise.graph.build import require_labels
from graphrise.graph.shuffle import shuffle_nodes
from graphrise.graph.spread import spread_labels
from graphrise.graph.store import Graph
from graphrise.loader.batch import neighbor_loader, without_edges
from graphrise.loader.images import ImageReader
from graphrise.loader.sampler import PairSampler


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
        """
        super().__init__()
        self.config = config
        images = read_images(dataset)
        self.notes: list[str] = []
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
        self.num_labels = len(graph.vocabulary[config.labels.source])
        self.num_labelled = int((self.labels.counts > 0).sum())
        if graph.num_edges == 0:
            self.notes.append("the graph has no edges: training is cross-entropy only")
        self.reader = ImageReader(
            images, _rows_of(graph, images), config.images.size, config.images.cache_mib
        )

    def train_dataloader(self) -> NodeLoader:
        """Loader over the labelled images; draws neighbours only if the edge term counts."""
        edges = self.config.edges
        sampler = PairSampler(
            self.graph,
            edges.neighbors if edges.alpha > 0 else 0,
            edges.draw,
            normalize=edges.normalize,
            seed=self.config.train.seed,
        )
        return neighbor_loader(
            without_edges(self.graph),
            self.reader,
            self.labels,
            sampler,
            batch_size=self.config.train.batch_size,
            workers=self.config.images.workers,
        )


def _rows_of(graph: Graph, images: ImageTable) -> np.ndarray:
    row_of = {image_id: row for row, image_id in enumerate(images.ids)}
    missing = [image_id for image_id in graph.image_ids if image_id not in row_of]
    if missing:
        raise DataError(
            f"{images.folder / 'images.parquet'}: {len(missing):,} images of the graph are not in "
            f"it, the first is {missing[0]!r}; was the graph built from another dataset?"
        )
    return np.array([row_of[image_id] for image_id in graph.image_ids], dtype=np.int64)
