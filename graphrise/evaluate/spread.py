"""Mean and standard deviation over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Values of one quantity over seeds."""

    mean: float
    sd: float | None
    """Sample standard deviation (n - 1); None for a single value."""
    values: tuple[float, ...]


def spread(values: Sequence[float]) -> Spread:
    """Mean, sample standard deviation and the values themselves; at least one value."""
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Spread(mean, None, tuple(values))
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Spread(mean, math.sqrt(variance), tuple(values))
