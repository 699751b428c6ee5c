"""Case `rate`: images a second of whole runs, against a bare loop over the same encoder.

A run is `train` with all that belongs to it: pictures read, neighbours drawn from the graph,
augmentation, label head, edge term, log, checkpoints, from the first step to the last. The bare
loop takes normalised batches of the same size that lie in memory through the same encoder and a
linear layer: forward, backward, AdamW, and nothing else. Both in turn, in one process.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.rows import Row
from graphrise.config import EdgeConfig, RunConfig
from graphrise.demo.drive import prepare_data
from graphrise.graph.store import Graph, open_graph
from graphrise.images.dataset import open_images
from graphrise.images.reader import ImageReader
from graphrise.loader.nodes import image_rows
from graphrise.nn.encoder import Encoder
from graphrise.recipes import RECIPES
from graphrise.train.folder import peak_mib
from graphrise.train.run import train

BARE = "bare loop, float32"
PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}
ENCODERS = {"test_resnet": 48, "resnet18": 64}
"""timm's name and the image side."""
KEPT = 4
"""Batches of the bare loop."""


def run(out: Path, only: Sequence[str], passes: int, repetitions: int) -> list[Row]:
    """Train and time.

    Args:
        out: Working folder, kept.
        only: Encoders.
        passes: Encoder passes of a run of the small encoder; of others a tenth.
        repetitions: Runs of each kind, in turn.
    """
    dataset = prepare_data(out, "emoji", fast=False, labelled={"part"})["part"]
    graph = open_graph(dataset / "graph")
    rows: list[Row] = []
    for name in only:
        few = passes if name == "test_resnet" else passes // 10
        rows += _rates(out, dataset, graph, _config(name, few), repetitions)
    return rows


def _config(name: str, passes: int) -> RunConfig:
    recipe, change = RECIPES["emoji"](), dataclasses.replace
    return change(
        recipe,
        edges=EdgeConfig(alpha=1.0),
        images=change(recipe.images, size=ENCODERS[name]),
        encoder=change(recipe.encoder, name=name),
        train=change(recipe.train, passes=passes, accelerator="cpu"),
    )


def _rates(
    out: Path, dataset: Path, graph: Graph, config: RunConfig, repetitions: int
) -> list[Row]:
    found: dict[str, list[float]] = {}
    size = 2 * config.train.batch_size
    batches = _kept(dataset, graph, config, size)
    torch.set_num_threads(config.train.threads or torch.get_num_threads())
    for _ in range(repetitions):
        for kind, precision in PRECISIONS.items():
            of = dataclasses.replace(
                config, train=dataclasses.replace(config.train, precision=precision)
            )
            result = train(
                dataset,
                graph,
                out / "rate",
                of,
                display=lambda fraction, state: None,
                overwrite=True,
            )
            found.setdefault(f"train, {kind}", []).append(result.passes / result.seconds)
            rate = bare(of, batches, len(graph.vocabulary["given"]), result.seconds)
            found.setdefault(f"bare loop, {kind}", []).append(rate)
    common: dict[str, Any] = {
        "case": "rate",
        "metric": "training throughput",
        "unit": "images/s",
        "peak_mib": peak_mib(),
        "size": f"emoji, {config.images.size} px, 64 labelled images a batch and a neighbour each, "
        f"{config.train.passes:,} passes a run, 1 thread",
    }
    name = config.encoder.name
    return [
        Row(
            variant=f"{name}: {way}",
            values=values,
            baseline=against,
            baseline_values=found[against],
            **common,
        )
        for way, values in found.items()
        for against in dict.fromkeys((way.replace("train", "bare loop"), BARE))
    ]


def _silent(fraction: float, state: str) -> None:
    """A display that shows nothing."""


def bare(config: RunConfig, batches: list[Tensor], labels: int, seconds: float) -> float:
    """Images a second of the loop that trains the encoder and a linear layer, and does no more."""
    torch.manual_seed(0)
    encoder = Encoder(config.encoder).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = nn.Sequential(encoder, nn.Linear(config.encoder.dim, labels))
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.train.lr, fused=True)
    target = torch.randint(labels, (len(batches[0]),))
    half = config.train.precision == "bf16-mixed"
    count, step, start = 0, -2, 0.0
    while step < 1 or time.perf_counter() - start < seconds:
        if step == 0:  # two to warm up
            start = time.perf_counter()
        x = batches[step % len(batches)]
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = F.cross_entropy(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        count += len(x) if step >= 0 else 0
        step += 1
    return count / (time.perf_counter() - start)


def _kept(dataset: Path, graph: Graph, config: RunConfig, size: int) -> list[Tensor]:
    images, store = open_images(dataset)
    reader = ImageReader(store, image_rows(graph, images), config.images.canvas, cache_mib=0)
    nodes = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(0))
    parts = nodes[: KEPT * size].split(size)
    return [
        (reader.read(part).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        for part in parts
    ]
