"""Case `graph`: building, opening and drawing from a graph, each against a named peer or floor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks import big_graph, build_graph, draws, knn
from benchmarks.rows import Row
from graphrise.errors import ConfigError

PARTS = ("build", "spark", "knn", "ivf", "nsl", "open", "draws")
_SPARK_LIMIT = 10**7
"""Impressions up to which Spark is run: its local mode is for equality, not for speed."""


def run(
    out: Path,
    parts: Sequence[str],
    sizes: Sequence[int],
    repetitions: int,
    memory_gb: float,
    nsl: Path | None,
) -> list[Row]:
    """Run some parts.

    Args:
        out: Working folder; made logs and graphs stay there and are used again (the largest
            graph takes 4 GB).
        parts: Of PARTS.
        sizes: Impressions of the made logs.
        repetitions: Of every timing, where one is short enough to repeat.
        memory_gb: Limit given to a build.
        nsl: Python interpreter that has neural-structured-learning.

    Raises:
        ConfigError: Nothing to time.
    """
    if repetitions < 1 or not sizes or min(sizes) < 1:
        raise ConfigError("--repetitions and --sizes must be at least 1")
    threads = os.cpu_count() or 1
    small = [size for size in sizes if size <= _SPARK_LIMIT]
    cases = {
        "build": lambda: build_graph.build_rows(out, sizes, repetitions, memory_gb, threads),
        "spark": lambda: build_graph.spark_rows(out, small, threads),
        "knn": lambda: knn.exact(repetitions),
        "ivf": lambda: knn.ivf(out),
        "nsl": lambda: knn.nsl(nsl),
        "open": lambda: big_graph.run(out / "big"),
        "draws": lambda: draws.run(out / "big"),
    }
    return [row for part in PARTS if part in parts for row in cases[part]()]
