"""A hierarchy of labels: instance, subcategory, category, finest first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from graphrise.errors import DataError
from graphrise.evaluate.checks import UNKNOWN, check_labels


class NotNested(DataError):
    """A label lies in two labels of a coarser level."""


def check_levels(name: str, levels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Labels of every level as int64 [rows], finest first.

    Raises:
        DataError: There is no level, one is malformed, or they differ in length.
    """
    checked = [check_labels(f"{name}[{i}]", labels) for i, labels in enumerate(levels)]
    if not checked:
        raise DataError(f"{name} is empty: give the labels of at least one level, finest first")
    lengths = [len(labels) for labels in checked]
    if len(set(lengths)) > 1:
        raise DataError(f"the levels of {name} have {lengths} rows: expected one label a row each")
    return checked


def check_pair(gallery: list[np.ndarray], queries: list[np.ndarray]) -> None:
    """Refuse galleries and queries of different depth.

    Raises:
        DataError: One has more levels than the other.
    """
    if len(gallery) != len(queries):
        raise DataError(f"the gallery has {len(gallery)} label levels, the queries {len(queries)}")


def check_nested(gallery: list[np.ndarray], queries: list[np.ndarray]) -> None:
    """Refuse a label that lies in two labels of a coarser level.

    Raises:
        NotNested: Images of one label differ in a coarser one, unknown included.
    """
    both = [np.concatenate(pair) for pair in zip(gallery, queries, strict=True)]
    for fine, coarse in combinations(range(len(both)), 2):
        known = both[fine] != UNKNOWN
        above = both[coarse][known]
        labels, first, member = np.unique(both[fine][known], return_index=True, return_inverse=True)
        wrong = above != above[first][member]
        if wrong.any():
            row = int(wrong.argmax())
            raise NotNested(
                f"label {labels[member[row]]} of level {fine} has both "
                f"{above[first[member[row]]]} and {above[row]} at level {coarse} (levels are "
                "finest first, -1 = unknown): give every label one coarser label"
            )


def joint(coarse: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """One label for each pair of labels, -1 where either is unknown; int64 [rows]."""
    coarse_code = np.unique(coarse, return_inverse=True)[1]
    fine_labels, fine_code = np.unique(fine, return_inverse=True)
    pair = coarse_code * len(fine_labels) + fine_code
    return np.where((coarse == UNKNOWN) | (fine == UNKNOWN), UNKNOWN, pair)
