"""Row-wise updates: equal rows added up and updated in one pass."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from graphrise.ops.cpu.jit import compiled, over_rows
from graphrise.ops.cpu.prefetch import AHEAD, fetch


@compiled
def _update(
    first: int,
    last: int,
    table: np.ndarray,
    state: np.ndarray,
    start: np.ndarray,
    order: np.ndarray,
    rows: np.ndarray,
    grads: np.ndarray,
    lr: float,
    eps: float,
    weight_decay: float,
    keep: float,
    add: float,
) -> None:
    dim = table.shape[1]
    kept = table.dtype.type(1 - lr * weight_decay)
    total = np.empty(dim, dtype=grads.dtype)
    for run in range(first, last):
        if run + AHEAD < last:
            fetch(table, rows[order[start[run + AHEAD]]], 0, dim)
        total[:] = grads[order[start[run]]]
        for entry in range(start[run] + 1, start[run + 1]):
            more = grads[order[entry]]
            for d in range(dim):
                total[d] += more[d]
        squares = total.dtype.type(0)
        for d in range(dim):
            squares += total[d] * total[d]
        at = rows[order[start[run]]]
        mean = squares / total.dtype.type(dim)
        if state[at] > 0:
            mean = state.dtype.type(keep) * state[at] + state.dtype.type(add) * mean
        state[at] = mean
        step = total.dtype.type(lr) / (np.sqrt(mean) + total.dtype.type(eps))
        row = table[at]
        for d in range(dim):
            row[d] = kept * row[d] - step * total[d]


def update_(
    table: Tensor,
    state: Tensor,
    rows: Tensor,
    grads: Tensor,
    lr: float,
    eps: float,
    weight_decay: float,
    keep: float,
    add: float,
) -> None:
    """`rowwise_step_` of contiguous CPU tensors, rows in range and at least one of them."""
    rows, grads = rows.contiguous(), grads.contiguous()
    start, order = _runs(rows.numpy())
    kept = table.numpy(), state.numpy(), start, order, rows.numpy(), grads.numpy()
    over_rows(_update, start, table.size(1), *kept, lr, eps, weight_decay, keep, add)


def _runs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the runs of equal rows begin, and the end; and entries in the order of their rows."""
    places = np.arange(rows.size)
    if rows.size == 1 or bool((rows[1:] > rows[:-1]).all()):
        return np.arange(rows.size + 1), places
    bits = (rows.size - 1).bit_length()
    # Rows with their places in the low bits: a sort of numbers, many times faster than of places.
    keys = np.sort(rows << bits | places)
    ranked = keys >> bits
    first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    return np.append(first, rows.size), keys & ((1 << bits) - 1)
