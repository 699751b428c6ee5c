"""Encoder passes a second of several ways to train, their steps timed in turn."""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch

from benchmarks.steps import Steps
from graphrise.config import RunConfig
from graphrise.graph.store import open_graph
from graphrise.train.folder import write_json

ROUNDS, STEPS = 15, 8


def speeds(dataset: Path, ways: dict[str, RunConfig], kept: Path) -> dict[str, list[float]]:
    """Passes a second of every way, one value a round, on one thread.

    Args:
        dataset: Dataset folder with its graph.
        ways: Settings by name.
        kept: File that keeps what was measured; other ways or settings are timed anew.
    """
    settings = {name: repr(config) for name, config in ways.items()}
    if kept.is_file():
        before = json.loads(kept.read_text(encoding="utf-8"))
        if before["settings"] == settings:
            return before["speeds"]
    graph, threads = open_graph(dataset / "graph"), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        running = {name: Steps(dataset, graph, config) for name, config in ways.items()}
        found = {name: [] for name in ways}
        for turn in range(ROUNDS + 1):
            for name, one in running.items():
                start = time.perf_counter()
                count = sum(one.step(next(one.batches)) for _ in range(STEPS))
                if turn:  # the first is to warm up
                    found[name].append(count / (time.perf_counter() - start))
    finally:
        torch.set_num_threads(threads)
    write_json(kept, {"settings": settings, "speeds": found})
    return found
