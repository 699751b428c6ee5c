"""The LightningDataModule: dataset folder and graph to the training loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch

from graphrise.config import RunConfig
from graphrise.data.tables import ImageTable
from graphrise.errors import DataError
from graphrise.graph.build import require_labels
from graphrise.graph.shuffle import shuffle_nodes
from graphrise.graph.spread import spread_labels
from graphrise.graph.store import Graph, as_column
from graphrise.images.dataset import open_images
from graphrise.images.reader import ImageReader
from graphrise.loader.batch import TrainingLoader, without_edges
from graphrise.train.batches import batch_plan, edge_sampler

pc: Any = pyarrow.compute  # its functions are made at import; type checkers see none

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
            _rows_of(graph, images),
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


def _rows_of(graph: Graph, images: ImageTable) -> np.ndarray:
    """Row of each node's image, int64 `[N]`."""
    ids, nodes = images.table.column("image_id"), as_column(graph.image_ids)
    if len(ids) == len(nodes) and ids.type == nodes.type and ids.equals(nodes):
        return np.arange(len(ids))
    whole = pa.large_string() if not pa.types.is_integer(nodes.type) else pa.int64()
    found = pc.index_in(nodes.cast(whole), value_set=ids.cast(whole))
    if found.null_count:
        first = nodes[pc.index(pc.is_null(found), True).as_py()].as_py()
        raise DataError(
            f"{images.folder / 'images.parquet'}: {found.null_count:,} images of the graph are "
            f"not in it, the first is {first!r}; was the graph built from another dataset?"
        )
    return found.to_numpy().astype(np.int64)
