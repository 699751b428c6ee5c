"""Sparse rows spread over a graph as dense ones, in float64."""

from __future__ import annotations

import numpy as np

from graphrise.ops.sparse_rows.rows import SparseRows


def propagate_sparse(
    rowptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    rows: np.ndarray,
    *,
    steps: int = 1,
    own: float = 1.0,
    power: float = 2.0,
    top: int = 8,
    clamp: np.ndarray | None = None,
) -> np.ndarray:
    """One node and one neighbour after the other, on dense rows `[N, C]` -> `[N, C]`."""
    for _ in range(steps):
        mixed = own * rows.astype(np.float64)
        for node in range(rowptr.size - 1):
            for edge in range(rowptr[node], rowptr[node + 1]):
                mixed[node] += float(weight[edge]) * rows[col[edge]]
        rows = np.stack([sharpened(row, power, top) for row in mixed]) if mixed.size else mixed
        if clamp is not None:
            fixed = clamp.any(axis=1)
            rows[fixed] = clamp[fixed]
    return rows


def sharpened(row: np.ndarray, power: float, top: int) -> np.ndarray:
    """The heaviest of a row, the lowest of equals, to a power, of sum 1; an empty row stays so."""
    out = np.zeros_like(row)
    if row.any():
        kept = np.argsort(-row, kind="stable")[:top]
        out[kept] = (row[kept] / row.max()) ** power
        out /= out.sum()
    return out


def dense(rows: SparseRows, labels: int) -> np.ndarray:
    """Sparse rows as float64 `[N, C]`; a label that comes twice is summed."""
    out = np.zeros((rows.rowptr.size - 1, labels))
    row = np.repeat(np.arange(out.shape[0]), np.diff(rows.rowptr))
    np.add.at(out, (row, rows.index), rows.weight)
    return out
