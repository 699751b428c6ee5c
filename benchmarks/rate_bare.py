"""Part of case `rate`: the bare loop, in the process that this is.

`python -m benchmarks.rate_bare SETTINGS` prints its images a second as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.child import first_to_go, own_peak_mib
from graphrise.config import RunConfig, from_dict
from graphrise.graph.store import Graph, open_graph
from graphrise.images.dataset import open_images
from graphrise.images.reader import ImageReader
from graphrise.loader.nodes import image_rows
from graphrise.nn.encoder import Encoder
from graphrise.train.allocator import keep_memory

KEPT = 4
"""Batches of the loop."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one process does.

    Attributes:
        dataset: Dataset folder, with its graph.
        config: The run whose encoder it is, as plain values.
        keep: Whether memory is kept, as `train` does; else the allocator is as it comes.
        seconds: How long.
    """

    dataset: str
    config: dict[str, Any]
    keep: bool
    seconds: float


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


def kept(dataset: Path, graph: Graph, config: RunConfig, size: int) -> list[Tensor]:
    """Normalised batches of a graph's pictures, float32 `[size, 3, H, W]` each."""
    images, store = open_images(dataset)
    reader = ImageReader(store, image_rows(graph, images), config.images.canvas, cache_mib=0)
    nodes = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(0))
    parts = nodes[: KEPT * size].split(size)
    return [
        (reader.read(part).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        for part in parts
    ]


def main(settings: str) -> None:
    """Print what the loop did."""
    first_to_go()
    work = Work(**json.loads(settings))
    config, dataset = from_dict(RunConfig, work.config), Path(work.dataset)
    graph = open_graph(dataset / "graph")
    if work.keep:
        keep_memory()
    torch.set_num_threads(config.train.threads or torch.get_num_threads())
    batches = kept(dataset, graph, config, 2 * config.train.batch_size)
    rate = bare(config, batches, len(graph.vocabulary["given"]), work.seconds)
    print(json.dumps({"rate": rate, "peak_mib": own_peak_mib()}))


if __name__ == "__main__":
    main(sys.argv[1])
