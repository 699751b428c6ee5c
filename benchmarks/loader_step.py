"""Part `step` of case `loader`: training steps a second, fed by the loader or by one kept batch.

The same module takes the same steps (augmentation, encoder, head, edge term, backward, AdamW) in a
plain loop, a stretch with the loader and a stretch with one fixed batch in turn. Where the loader
costs the encoder nothing the two are equal.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.rows import Row
from graphrise.config import RunConfig
from graphrise.graph.store import Graph
from graphrise.loader.batch import TrainingLoader
from graphrise.train.data import TrainingData
from graphrise.train.folder import peak_mib
from graphrise.train.module import GraphRise
from graphrise.train.run import precision_of

FLOOR = "one batch kept in memory"


def run(
    name: str, dataset: Path, graph: Graph, config: RunConfig, steps: int, repetitions: int
) -> list[Row]:
    """Time `repetitions` stretches of `steps` steps with either, after an epoch's warm-up."""
    data = TrainingData(dataset, graph, config)
    torch.manual_seed(0)
    module = GraphRise(config, data.num_labels, data.num_labelled)
    module.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = module.configure_optimizers()["optimizer"]
    half = precision_of(config) == "bf16-mixed"
    if config.images.cache_mib:
        data.reader.read(torch.arange(graph.num_nodes))  # as after the first epoch
    batches = _endless(data.train_dataloader())

    def step(batch: Any) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            terms = module.losses(batch)
        optimizer.zero_grad()
        (terms["label"] + terms["edge"]).backward()
        optimizer.step()

    kept = next(batches)
    for _ in range(3):
        step(kept)
        step(next(batches))
    rates: dict[str, list[float]] = {FLOOR: [], "real loader": []}
    for turn in range(2 * repetitions):
        # Each goes first as often as the other: a machine that grows slower favours neither.
        way = (FLOOR, "real loader")[(turn + turn // 2) % 2]
        start, count = time.perf_counter(), 0
        for _ in range(steps):
            batch = kept if way == FLOOR else next(batches)
            step(batch)
            count += batch.x.size(0)
        rates[way].append(count / (time.perf_counter() - start))
    pairs = zip(rates["real loader"], rates[FLOOR], strict=True)
    print(f"{name}: median of the paired ratios {statistics.median(a / b for a, b in pairs):.3f}")
    return [
        Row(
            case="loader",
            variant=f"{name}: {way}",
            metric="training throughput",
            values=values,
            unit="images/s",
            baseline=FLOOR,
            baseline_values=rates[FLOOR],
            peak_mib=peak_mib(),
            size=f"batch {config.train.batch_size} and a drawn neighbour each, {steps} steps",
        )
        for way, values in rates.items()
    ]


def _endless(loader: TrainingLoader) -> Iterator[Any]:
    epoch = 0
    while True:
        loader.set_epoch(epoch)
        yield from loader
        epoch += 1
