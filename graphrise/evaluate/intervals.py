"""Bootstrap confidence intervals of a metric's mean over queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.checks import UNKNOWN, check_labels
from graphrise.evaluate.per_query import PerQuery

# A count costs as much as so many single draws.
_DRAWS_OF_A_COUNT = 10
# Numbers drawn in one step: 16 MiB of int64, and as much again as float64.
_BLOCK = 1 << 21


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval."""

    mean: float
    low: float
    high: float
    confidence_level: float
    """Share of samples in 0..1 whose interval would hold the true mean."""


def bootstrap_interval(
    values: PerQuery | np.ndarray,
    clusters: np.ndarray | None = None,
    confidence_level: float = 0.95,
    n_resamples: int = 2_000,
    seed: int = 0,
) -> Interval:
    """Percentile interval of the mean over queries (Efron and Tibshirani, 1993, chapter 13).

    Queries of one instance are alike: the interval over single queries is then too narrow.
    `clusters` resamples whole instances (the cluster bootstrap), a resample's mean being the sum of
    its values over its number of queries. For two models on the same queries take the interval of
    the difference of their values.

    Where many queries (clusters) are equal, their counts are drawn: the same distribution with
    fewer draws. Time grows at most with resamples times queries, some nanoseconds each; the order
    of the queries does not matter.

    Args:
        values: Per-query values [Q], NaN = left out.
        clusters: Cluster of every query, whole numbers [Q]; None: each query by itself.
        confidence_level: Above 0 and below 1.
        n_resamples: At least 1; a percentile needs some hundreds.
        seed: Of the draws.

    Raises:
        DataError: No value, an infinite one, or clusters that are malformed, of another length or
            unknown for a scored query.
        ConfigError: `confidence_level` or `n_resamples` is out of range.
    """
    if not 0 < confidence_level < 1:
        raise ConfigError(f"confidence_level is {confidence_level}: it must lie between 0 and 1")
    if n_resamples < 1:
        raise ConfigError(f"n_resamples is {n_resamples}: draw at least 1")
    given = values.values if isinstance(values, PerQuery) else np.asarray(values, dtype=np.float64)
    totals, sizes = _units(given, clusters)
    tail = (1 - confidence_level) / 2
    low, high = np.quantile(_means(totals, sizes, n_resamples, seed), [tail, 1 - tail])
    return Interval(float(totals.sum() / sizes.sum()), float(low), float(high), confidence_level)


def _units(values: np.ndarray, clusters: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """What is resampled: sum of the values and number of queries of each, [units]."""
    known = ~np.isnan(values)
    if values.ndim != 1 or not known.any():
        raise DataError(f"values has shape {values.shape} and {int(known.sum())} known entries")
    kept = values[known]
    if np.isinf(kept).any():
        raise DataError(f"values holds infinity in {int(np.isinf(kept).sum())} rows")
    if clusters is None:
        return kept, np.ones(len(kept))
    clusters = check_labels("clusters", clusters)
    if len(clusters) != len(values):
        raise DataError(f"clusters has {len(clusters)} rows, there are {len(values)} queries")
    if (clusters[known] == UNKNOWN).any():
        row = int((known & (clusters == UNKNOWN)).argmax())
        raise DataError(f"clusters is unknown in row {row}, whose query is scored: give it one")
    member = np.unique(clusters[known], return_inverse=True)[1]
    return np.bincount(member, kept), np.bincount(member).astype(np.float64)


def _means(totals: np.ndarray, sizes: np.ndarray, n_resamples: int, seed: int) -> np.ndarray:
    """Means of the resamples, float64 [n_resamples]."""
    units, copies = np.unique(np.stack((totals, sizes), axis=1), axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    counted = len(units) * _DRAWS_OF_A_COUNT < len(totals)
    each = units if counted else np.repeat(units, copies, axis=0)
    step = max(1, _BLOCK // len(each))
    parts = []
    for start in range(0, n_resamples, step):
        some = min(step, n_resamples - start)
        if counted:
            drawn = rng.multinomial(len(totals), copies / len(totals), size=some)
            total, size = (drawn @ units).T
        else:
            drawn = rng.integers(len(each), size=(some, len(each)))
            total, size = (column[drawn].sum(axis=1) for column in each.T.copy())
        parts.append(total / size)
    return np.concatenate(parts)
