"""A metric's value for every query, so that means, groups and intervals come from one array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from graphrise.errors import DataError

# Neighbours looked at in one step: the float64 values of a block stay at 32 MiB.
_BLOCK = 1 << 22


@dataclass(frozen=True, eq=False)
class PerQuery:
    """Values of one metric over a query set; its mean is the metric."""

    values: np.ndarray
    """float64 [Q], NaN for a query that was left out."""

    @property
    def mean(self) -> float:
        """Mean over the scored queries.

        Raises:
            DataError: No query was scored.
        """
        if self.scored == 0:
            raise DataError(f"none of the {len(self.values)} queries was scored: there is no mean")
        return float(np.nanmean(self.values))

    @property
    def scored(self) -> int:
        """Queries counted."""
        return int((~np.isnan(self.values)).sum())

    @property
    def left_out(self) -> int:
        """Queries not counted."""
        return len(self.values) - self.scored


def per_query(
    scored: np.ndarray, width: int, value: Callable[[np.ndarray], np.ndarray]
) -> PerQuery:
    """Evaluate a metric on the scored queries, a block of bounded memory at a time.

    Args:
        scored: bool [Q], the queries to count.
        width: Neighbours that the metric looks at for a query.
        value: Query rows int64 [R] to their values [R].
    """
    values = np.full(len(scored), np.nan)
    rows = scored.nonzero()[0]
    step = max(1, _BLOCK // max(1, width))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        values[some] = value(some)
    return PerQuery(values)
