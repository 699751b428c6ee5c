"""Rows that keep what they were given, whatever a step made of them."""

from __future__ import annotations

import numpy as np

from graphrise.ops.sparse_rows.rows import SparseRows


def put_back(
    first: int, counts: np.ndarray, index: np.ndarray, weight: np.ndarray, given: SparseRows
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of a block of nodes, with the given ones in the place of those that have some.

    Args:
        first: First of the n nodes.
        counts: int64 `[n]`, entries of each row.
        index: Their labels.
        weight: Their weights.
        given: Rows of all nodes; an empty one gives nothing.

    Returns:
        The same three arrays of the new rows, in dtypes of `index` and `weight`.
    """
    start = given.rowptr[first : first + counts.size + 1]
    own = np.diff(start)
    fixed = own > 0
    if not fixed.any():
        return counts, index, weight
    size = np.where(fixed, own, counts)
    into, kept = np.repeat(fixed, size), np.repeat(~fixed, counts)
    # A block's given entries stand together, in the order of their nodes.
    part = slice(int(start[0]), int(start[-1]))

    def joined(made: np.ndarray, put: np.ndarray) -> np.ndarray:
        out = np.empty(into.size, dtype=made.dtype)
        out[into], out[~into] = put[part], made[kept]
        return out

    return size, joined(index, given.index), joined(weight, given.weight)
