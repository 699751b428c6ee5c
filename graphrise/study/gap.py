"""How much of the gap between two references a run closes, and what few seeds can say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphrise.errors import DataError
from graphrise.study.stats import CONFIDENCE, t_quantile


@dataclass(frozen=True)
class Gap:
    """Share of the gap from the baseline to the upper reference that a run closes.

    Attributes:
        seeds: n, seeds that all three finished; at least 2.
        closed: (mean run - mean baseline) / (mean upper - mean baseline); 1 is all of it, a run
            below the baseline is below 0.
        low: Lower end of Fieller's 95 % interval; None where nothing differs between seeds.
        high: Upper end.
    """

    seeds: int
    closed: float
    low: float | None
    high: float | None


def gap_closed(
    run: Sequence[float], baseline: Sequence[float], upper: Sequence[float]
) -> Gap | None:
    """The share of a gap, if there is a gap.

    The interval is Fieller's (1954) for a ratio of paired means: every share s that a t-test of
    `(run - baseline) - s (upper - baseline)` over the seeds does not refuse. It takes the
    differences as normal, has no bias of a ratio, and need not be symmetric. It has two ends where
    the gap itself is above 0 by the same test, and otherwise the ratio means nothing.

    Args:
        run: One value a seed.
        baseline: The baseline's with the same seeds.
        upper: The upper reference's with the same seeds.

    Returns:
        None where the upper reference is not above the baseline beyond noise (two-sided, 0.05), or
        where there is one seed, which has no noise to tell.

    Raises:
        DataError: There are none, or not as many of each.
    """
    if not len(run) == len(baseline) == len(upper) > 0:
        raise DataError(f"{len(run)}, {len(baseline)} and {len(upper)} values cannot be paired")
    gains = np.array([run, upper], dtype=np.float64) - np.array(baseline, dtype=np.float64)
    n = gains.shape[1]
    if n < 2:
        return None
    x, y = (float(mean) for mean in gains.mean(1))
    # Squared and mixed reach of the two means: t^2 times their covariance.
    reach = t_quantile(0.5 + CONFIDENCE / 2, n - 1) ** 2 * np.cov(gains) / n
    a, b, c = y * y - reach[1, 1], x * y - reach[0, 1], x * x - reach[0, 0]
    if y <= 0 or a <= 0:
        return None
    if not reach.any():
        return Gap(n, x / y, None, None)
    root = math.sqrt(max(0.0, b * b - a * c))
    return Gap(n, x / y, float(b - root) / float(a), float(b + root) / float(a))


def gap_by_seed(
    run: Mapping[int, float], baseline: Mapping[int, float], upper: Mapping[int, float]
) -> Gap | None:
    """`gap_closed` over the seeds that all three have; None without any."""
    seeds = [seed for seed in run if seed in baseline and seed in upper]
    if not seeds:
        return None
    return gap_closed(*([of[seed] for seed in seeds] for of in (run, baseline, upper)))
