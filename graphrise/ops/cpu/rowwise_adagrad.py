"""Row-wise Adagrad: equal rows added up and updated in one pass."""

from __future__ import annotations

import numpy as np
import torch
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
        state[at] += squares / total.dtype.type(dim)
        step = total.dtype.type(lr) / (np.sqrt(state[at]) + total.dtype.type(eps))
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
) -> None:
    """`rowwise_adagrad_` of contiguous CPU tensors, rows in range and at least one of them."""
    if bool((rows[1:] > rows[:-1]).all()):
        order = torch.arange(rows.numel())
        start = torch.arange(rows.numel() + 1)
    else:
        order = torch.argsort(rows, stable=True)
        _, count = torch.unique_consecutive(rows[order], return_counts=True)
        start = torch.cat((count.new_zeros(1), count.cumsum(0)))
    args = (of.contiguous().numpy() for of in (table, state, start, order, rows, grads))
    over_rows(_update, start.numpy(), table.size(1), *args, lr, eps, weight_decay)
