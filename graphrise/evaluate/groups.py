"""A metric by group: which classes, sources or sizes of image it is good or bad at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphrise.errors import DataError
from graphrise.evaluate.checks import check_labels
from graphrise.evaluate.per_query import PerQuery


@dataclass(frozen=True)
class GroupValue:
    """A metric over the queries of one group."""

    value: float | None
    """Mean over the scored queries; None if there is none."""
    scored: int
    left_out: int


def by_group(values: PerQuery, groups: np.ndarray) -> dict[int, GroupValue]:
    """A metric's mean in every group.

    Args:
        values: Of Q queries, from `r_precision` and the like.
        groups: Group of every query, whole numbers [Q]; -1 = unknown, a group of its own here, so
            that the counts add up.

    Returns:
        Group -> value and counts, by rising group.

    Raises:
        DataError: `groups` is empty, malformed or of another length.
    """
    groups = check_labels("groups", groups)
    if len(groups) != len(values.values):
        raise DataError(f"groups has {len(groups)} rows, there are {len(values.values)} queries")
    names, member = np.unique(groups, return_inverse=True)
    known = ~np.isnan(values.values)
    queries = np.bincount(member)
    scored = np.bincount(member[known], minlength=len(names))
    total = np.bincount(member[known], values.values[known], len(names))
    return {
        int(name): GroupValue(float(t / s) if s else None, int(s), int(q - s))
        for name, t, s, q in zip(names, total, scored, queries, strict=True)
    }


def macro_mean(values: PerQuery, groups: np.ndarray) -> float:
    """Mean over groups of the group means, so that every group weighs the same.

    Queries of unknown group do not count. Arguments and errors are those of `by_group`.

    Raises:
        DataError: No query of a known group was scored.
    """
    found = [g.value for name, g in by_group(values, groups).items() if name >= 0]
    means = [value for value in found if value is not None]
    if not means:
        raise DataError(f"none of the {len(values.values)} queries is scored and of known group")
    return float(np.mean(means))
