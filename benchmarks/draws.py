"""Part `draws` of case `graph`: weighted draws a second on one core, against a floor and a peer.

Timed is the CPU time of the one thread that draws, after a first call that maps the pages.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.big_graph import write_big_graph
from benchmarks.rows import Row
from graphrise.graph.store import Graph, open_graph
from graphrise.loader.sampler import PairSampler
from graphrise.train.folder import peak_mib

SEEDS, BATCH = 1_000_000, 512
FLOOR, PEER = "numpy, even draws", "torch.multinomial, padded rows"


def run(folder: Path, repetitions: int = 10) -> list[Row]:
    """Time draws from the big graph, which is made if it is not there.

    Args:
        folder: Graph folder (`big_graph.write_big_graph`); left in place.
        repetitions: Timed calls of each way, every one with other seeds.
    """
    if not (folder / "graph.json").is_file():
        write_big_graph(folder)
    graph = open_graph(folder)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _rows(graph, repetitions)
    finally:
        torch.set_num_threads(threads)


def _rows(graph: Graph, repetitions: int) -> list[Row]:
    resident = dataclasses.replace(
        graph, rowptr=np.array(graph.rowptr), cumulative=np.array(graph.cumulative)
    )
    one, five, held_one = PairSampler(graph, 1), PairSampler(graph, 5), PairSampler(resident, 1)
    rng = np.random.default_rng(0)

    def in_batches(sampler: PairSampler) -> Callable[[np.ndarray], object]:
        return lambda s: [sampler.draw_edges(s[i : i + BATCH]) for i in range(0, s.size, BATCH)]

    def floor(seeds: np.ndarray) -> np.ndarray:
        start = graph.rowptr[seeds]
        degree = graph.rowptr[seeds + 1] - start
        return graph.col[start + (rng.random(seeds.size) * degree).astype(np.int64)]

    def rate(draw: Callable[[np.ndarray], object], seeds: int, each: int = 1) -> list[float]:
        """Millions of draws a second, one a repetition."""
        draw(rng.integers(0, graph.num_nodes, seeds))
        found = []
        for _ in range(repetitions):
            some = rng.integers(0, graph.num_nodes, seeds)
            start = time.thread_time()
            draw(some)
            found.append(seeds * each / (time.thread_time() - start) / 1e6)
        return found

    few = 100 * BATCH
    ours = {
        f"draws, {SEEDS:,} seeds a call": rate(one.draw_edges, SEEDS),
        f"draws, {SEEDS:,} seeds a call, neighbour read too": rate(
            lambda seeds: graph.col[one.draw_edges(seeds)[1]], SEEDS
        ),
        f"draws, {SEEDS // 5:,} seeds a call, 5 each": rate(five.draw_edges, SEEDS // 5, 5),
        f"draws, {BATCH} seeds a call, graph in memory": rate(in_batches(held_one), few),
        f"draws, {BATCH} seeds a call, graph mapped": rate(in_batches(one), few),
    }
    floor_rate = rate(floor, SEEDS)
    peer_rate = rate(lambda seeds: _multinomial(graph, seeds), 8 * BATCH)

    def row(variant: str, baseline: str, baseline_values: list[float]) -> Row:
        return Row(
            case="graph",
            variant=variant,
            metric="draws a second and core",
            values=ours[variant],
            unit="M/s",
            baseline=baseline,
            baseline_values=baseline_values,
            peak_mib=peak_mib(),
            size=f"{graph.num_nodes:,} nodes, {graph.num_edges:,} edges",
        )

    return [
        *(row(variant, FLOOR, floor_rate) for variant in ours),
        row(next(iter(ours)), PEER, peer_rate),
    ]


def _multinomial(graph: Graph, seeds: np.ndarray) -> None:
    """One weighted draw per seed as torch has it: rows of weights, padded with 0."""
    for first in range(0, seeds.size, BATCH):
        some = seeds[first : first + BATCH]
        start = graph.rowptr[some]
        degree = graph.rowptr[some + 1] - start
        some, start, degree = (x[degree > 0] for x in (some, start, degree))
        place = np.arange(int(degree.max()))
        inside = place < degree[:, None]
        weight = np.zeros(inside.shape, dtype=np.float32)
        weight[inside] = graph.weight[(start[:, None] + place)[inside]]
        torch.multinomial(torch.from_numpy(weight), 1)
