"""Validation scores over training, from `curves.parquet`: mean and range over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq

from graphrise.study.effects import CONTROL
from graphrise.study.plan import References
from graphrise.study.summary import METRIC

Against = Literal["passes", "seconds"]


@dataclass(frozen=True)
class Curve:
    """One run over training.

    Attributes:
        name: Of the run.
        at: Encoder passes or seconds of training, rising.
        mean: Over seeds, in shares, as long as `at`.
        low: The lowest seed.
        high: The highest seed.
        seeds: How many.
    """

    name: str
    at: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: int


def read_curves(file: Path, against: Against) -> list[Curve]:
    """Read the probes of all runs.

    Probes come at equal shares of the budget: the first probes of all seeds make one point, at the
    mean of their passes or seconds, and so on up to the last probe that all seeds have.

    Args:
        file: `curves.parquet`.
        against: Its column to draw against.

    Returns:
        A curve a run, in the file's order; without runs that were not probed.
    """
    points: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for row in pq.read_table(file).to_pylist():
        if row.get(METRIC) is not None:
            seeds = points.setdefault(row["run"], {})
            seeds.setdefault(row["seed"], []).append((row[against], row[METRIC]))
    return [_curve(name, list(seeds.values())) for name, seeds in points.items()]


def _curve(name: str, seeds: Sequence[Sequence[tuple[float, float]]]) -> Curve:
    probes = min(len(seed) for seed in seeds)
    found = np.array([seed[:probes] for seed in seeds], dtype=np.float64)  # seed, probe, (x, y)
    at, values = found[..., 0].mean(0), found[..., 1]
    return Curve(name, at, values.mean(0), values.min(0), values.max(0), len(seeds))


def foremost(names: Sequence[str], references: References, most: int) -> list[str]:
    """Which runs are drawn in colour: the references, then runs, then controls, as planned.

    Scores have no say in it.

    Args:
        names: Of all runs.
        references: What runs are held against.
        most: How many.
    """
    first = (references.baseline, references.upper)
    ranked = sorted(names, key=lambda name: (name not in first, CONTROL in name))
    chosen = ranked[:most]
    return [name for name in names if name in chosen]
