"""Part `rate` of case `loader`: decoded pictures a second, from packed bytes to whole batches.

One core: this thread alone, without threads of ours. All cores: decoding threads and batches made
ahead. The floor is simplejpeg, the fastest decoder of case `decode`, in bare loops over the same
bytes, already in memory, into new arrays: one of them, or one a core.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.rows import Row
from graphrise.config import EdgeConfig, ImageConfig, RunConfig, TrainConfig
from graphrise.graph.store import Graph
from graphrise.images.dataset import open_images
from graphrise.train.data import TrainingData
from graphrise.train.folder import peak_mib

BATCH = 256
FLOOR = "simplejpeg, bare loop"
ONE, ALL = f"{FLOOR}, one core", f"{FLOOR}, all cores"


def run(dataset: Path, graph: Graph, side: int, repetitions: int) -> list[Row]:
    """Time one pass over the labelled images, with a drawn neighbour each, every way in turn.

    Args:
        dataset: Packed with this short side.
        graph: Of the dataset.
        side: Of the square that is read, in pixels.
        repetitions: Timed passes of every way, interleaved.
    """
    cores = os.cpu_count() or 1
    store = open_images(dataset)[1]
    data = [bytes(store.read(row)) for row in range(len(store))]
    loaded = partial(_loaded, dataset, graph, side)
    ways: dict[str, Callable[[], float]] = {
        ONE: lambda: _bare(data, 1),
        ALL: lambda: _bare(data, cores) / cores,
        "whole loader, one core": loaded(threads=1, prefetch=0),
        "whole loader, all cores": _per_core(loaded(threads=cores, prefetch=2)),
        "whole loader, a worker process a core": _per_core(
            loaded(threads=1, prefetch=0, workers=cores)
        ),
    }
    for time_one in ways.values():
        time_one()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repetitions):
        for name, time_one in ways.items():
            found[name].append(time_one())
    size = f"{len(data)} JPEGs, short side {side} px, q90, {sum(map(len, data)) / len(data):.0f} B"
    return [
        Row(
            case="loader",
            variant=f"{side} px: {name}",
            metric="decoded images a second and core",
            values=values,
            unit="images/s/core",
            baseline=floor,
            baseline_values=found[floor],
            peak_mib=peak_mib(),
            size=size,
        )
        for name, values in found.items()
        for floor in (ONE if name.endswith("one core") else ALL,)
    ]


def _bare(data: list[bytes], threads: int) -> float:
    """Pictures a second, of so many loops side by side over a part of the data each."""
    import simplejpeg

    def loop(part: list[bytes]) -> None:
        for one in part:
            simplejpeg.decode_jpeg(one)

    start = time.perf_counter()
    if threads == 1:
        loop(data)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(loop, (data[i::threads] for i in range(threads))))
    return len(data) / (time.perf_counter() - start)


def _loaded(
    dataset: Path, graph: Graph, side: int, *, threads: int, prefetch: int, workers: int = 0
) -> Callable[[], float]:
    images = ImageConfig(
        size=side, cache_mib=0, threads=threads, prefetch=prefetch, workers=workers
    )
    config = RunConfig(
        images=images, edges=EdgeConfig(alpha=1.0), train=TrainConfig(batch_size=BATCH)
    )
    loader = TrainingData(dataset, graph, config).train_dataloader()
    epoch = 0

    def one() -> float:
        nonlocal epoch
        loader.set_epoch(epoch)
        epoch += 1
        start, count = time.perf_counter(), 0
        for batch in loader:
            assert batch.x.shape[1:] == (3, side, side)
            count += batch.x.size(0)
        return count / (time.perf_counter() - start)

    return one


def _per_core(rate: Callable[[], float]) -> Callable[[], float]:
    return lambda: rate() / (os.cpu_count() or 1)
