"""Training steps in a plain loop, for timing: what a run does, without its trainer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from graphrise.config import RunConfig
from graphrise.graph.store import Graph
from graphrise.loader.batch import TrainingLoader
from graphrise.train.data import TrainingData
from graphrise.train.module import GraphRise
from graphrise.train.run import bank_of
from graphrise.train.trainer import precision_of


class Steps:
    """A module, its optimiser and its endless batches, on the CPU.

    Attributes:
        batches: Batches of epoch after epoch.
    """

    def __init__(
        self, dataset: Path, graph: Graph, config: RunConfig, *, ahead: bool = False
    ) -> None:
        """Build all that a run builds; pictures that may be cached are.

        Args:
            dataset: Dataset folder.
            graph: Its graph.
            config: The run.
            ahead: Whether the loader works and augments ahead where a core is left for it, as that
                of `train` does; else it always works ahead, and every step augments.
        """
        torch.set_num_threads(config.train.threads or os.cpu_count() or 1)
        data = TrainingData(dataset, graph, config)
        torch.manual_seed(config.train.seed)
        self._module = GraphRise(config, data.num_labels, data.num_labelled, labels=data.labels)
        self._module.bank = bank_of(config, graph.num_nodes, dataset)
        self._module.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = self._module.configure_optimizers()["optimizer"]
        self._half = precision_of(config) == "bf16-mixed"
        if config.images.cache_mib:
            data.reader.read(torch.arange(graph.num_nodes))  # as after the first epoch
        loader = data.loader_beside(self._module) if ahead else data.loader()
        self.batches = endless(loader)

    def step(self, batch: Any) -> int:
        """Forward, backward, update; the images encoded."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            terms = self._module.losses(batch)
        loss = self._module.total(terms)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return batch.x.size(0)


def endless(loader: TrainingLoader) -> Iterator[Any]:
    """Batches of epoch after epoch."""
    epoch = 0
    while True:
        loader.set_epoch(epoch)
        yield from loader
        epoch += 1
