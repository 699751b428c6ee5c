"""New rows of a block of nodes without a compiler: sorted lists and their runs."""

from __future__ import annotations

import numpy as np

from graphrise.ops.sparse_rows.rows import SparseRows


def mixed_block(
    first: int,
    rowptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    rows: SparseRows,
    own: float,
    power: float,
    top: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of some nodes mixed with their neighbours' and sharpened.

    Args:
        first: First of the n nodes.
        rowptr: int64 `[n + 1]`, from 0.
        col: `[E]`, their neighbours.
        weight: float64 `[E]`.
        rows: All nodes' rows.
        own: Weight of a node's own row.
        power: Exponent.
        top: Entries kept a row.

    Returns:
        int64 `[n]` entries of each new row, their labels (rising) and their weights.
    """
    count = rowptr.size - 1
    node = np.arange(count)
    mine, mine_at = _entries(rows.rowptr, node + first)
    edge, at = _entries(rows.rowptr, col)
    row = np.concatenate((mine, np.repeat(node, np.diff(rowptr))[edge]))
    index = np.concatenate((rows.index[mine_at], rows.index[at]))
    share = rows.weight[at].astype(np.float64) * weight[edge]
    share = np.concatenate((rows.weight[mine_at].astype(np.float64) * own, share))
    if row.size == 0:
        return np.zeros(count, dtype=np.int64), index, share.astype(rows.weight.dtype)
    # Equal (node, label) entries are summed by runs of the sorted list.
    order = np.lexsort((index, row))
    row, index, share = row[order], index[order], share[order]
    starts = np.flatnonzero(np.append(True, (np.diff(row) != 0) | (np.diff(index) != 0)))
    row, index, share = row[starts], index[starts], np.add.reduceat(share, starts)
    kept = _heaviest(row, index, share, count, top)
    return _sharpened(row[kept], index[kept], share[kept], count, power, rows.weight.dtype)


def _entries(rowptr: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of some nodes' entries: which of the nodes each is of, and its place."""
    start = rowptr[nodes]
    counts = rowptr[nodes + 1] - start
    row = np.repeat(np.arange(nodes.size), counts)
    return row, start[row] + np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)


def _heaviest(
    row: np.ndarray, index: np.ndarray, share: np.ndarray, count: int, top: int
) -> np.ndarray:
    """Places, in order, of each row's heaviest entries; among equals the lowest labels."""
    order = np.lexsort((index, -share, row))
    counts = np.bincount(row, minlength=count)
    rank = np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[rank < top])


def _sharpened(
    row: np.ndarray,
    index: np.ndarray,
    share: np.ndarray,
    count: int,
    power: float,
    kind: np.dtype,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Scaled by its row's maximum first, so that a high power cannot underflow to 0 / 0.
    peak = np.zeros(count)
    np.maximum.at(peak, row, share)
    some = peak[row] > 0
    row, index, share = row[some], index[some], share[some]
    share = (share / peak[row]) ** power
    share /= np.bincount(row, weights=share, minlength=count)[row]
    out = share.astype(kind)
    some = out > 0
    return np.bincount(row[some], minlength=count), index[some], out[some]
