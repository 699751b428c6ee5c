"""Differences between two runs over the same seeds, and what so few seeds can say."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphrise.errors import DataError
from graphrise.evaluate.spread import spread

CONFIDENCE = 0.95
EXACT_UP_TO = 12
"""Seeds up to which every pattern of signs is counted: 4,096."""


@dataclass(frozen=True)
class Paired:
    """A run against the baseline, seed by seed.

    Attributes:
        seeds: n, seeds that both finished.
        mean: Of the differences, run minus baseline.
        low: Lower end of the 95 % t interval of the mean; None without a spread.
        high: Upper end.
        p_t: Two-sided paired t-test, which takes the differences as normal; None without a spread.
        p_sign: Two-sided exact sign-flip permutation test, which takes them as symmetric about 0
            if nothing differs; None above `EXACT_UP_TO` seeds.
        least_p_sign: The smallest p that this test can give from n seeds, 2 / 2^n.
    """

    seeds: int
    mean: float
    low: float | None
    high: float | None
    p_t: float | None
    p_sign: float | None
    least_p_sign: float


def paired(run: Sequence[float], baseline: Sequence[float]) -> Paired:
    """Compare two runs whose values belong together one by one.

    Args:
        run: One value a seed.
        baseline: The baseline's with the same seeds.

    Raises:
        DataError: There are none, or not as many of both.
    """
    if len(run) != len(baseline) or len(run) == 0:
        raise DataError(f"{len(run)} and {len(baseline)} values cannot be paired")
    differences = [a - b for a, b in zip(run, baseline, strict=True)]
    n, found = len(differences), spread(differences)
    low = high = p_t = None
    if found.sd:
        error = found.sd / math.sqrt(n)
        reach = t_quantile(0.5 + CONFIDENCE / 2, n - 1) * error
        low, high = found.mean - reach, found.mean + reach
        p_t = t_two_sided(found.mean / error, n - 1)
    p_sign = sign_flip(differences) if n <= EXACT_UP_TO else None
    return Paired(n, found.mean, low, high, p_t, p_sign, min(1.0, 2.0 ** (1 - n)))


def sign_flip(differences: Sequence[float]) -> float:
    """Share of the 2^n patterns of signs whose mean is at least as far from 0 as the one found.

    Args:
        differences: n of them, at least one.
    """
    values = np.asarray(differences, dtype=np.float64)
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=values.size)))
    sums = np.abs(signs @ values)
    # The pattern found is one of them, and rounding must not lose it.
    return float(np.mean(sums >= abs(values.sum()) - 1e-12 * np.abs(values).sum()))


def t_two_sided(t: float, freedom: int) -> float:
    """Chance of a Student t at least as far from 0.

    Finite series of Abramowitz & Stegun, 26.7.3 and 26.7.4.

    Args:
        t: The statistic.
        freedom: Degrees of freedom, at least 1.

    Returns:
        p in 0..1, exact to about 1e-15.
    """
    angle = math.atan2(abs(t), math.sqrt(freedom))
    square = math.cos(angle) ** 2
    odd = freedom % 2
    # Terms 1, 2/3, 2*4/(3*5), ... of odd, 1, 1/2, 1*3/(2*4), ... of even degrees of freedom.
    term, total = 1.0, 1.0 if freedom > 1 else 0.0
    for step in range(1, (freedom - odd) // 2):
        top = 2 * step - 1 + odd
        term *= square * top / (top + 1)
        total += term
    if odd:
        inside = 2 / math.pi * (angle + math.sin(angle) * math.cos(angle) * total)
    else:
        inside = math.sin(angle) * total
    return min(1.0, max(0.0, 1.0 - inside))


def t_quantile(share: float, freedom: int) -> float:
    """The t that a share of Student's distribution lies below.

    Args:
        share: In [0.5, 1).
        freedom: Degrees of freedom, at least 1.
    """
    low, high = 0.0, 1.0
    wanted = 2 * (1 - share)
    while t_two_sided(high, freedom) > wanted:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_two_sided(middle, freedom) > wanted else (low, middle)
    return high
