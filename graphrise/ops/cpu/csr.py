"""A CSR matrix put on its side by counting: no sort."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphrise.ops.cpu.jit import compiled


@compiled
def _count(count: np.ndarray, col: np.ndarray) -> None:
    for e in range(col.size):
        count[col[e] + 1] += 1
    for c in range(1, count.size):
        count[c] += count[c - 1]


@compiled
def _place(
    rowptr: np.ndarray, col: np.ndarray, end: np.ndarray, row_out: np.ndarray, order: np.ndarray
) -> None:
    for i in range(rowptr.size - 1):
        for e in range(rowptr[i], rowptr[i + 1]):
            c = col[e]
            at = end[c]
            end[c] = at + 1
            row_out[at] = i
            order[at] = e


def transpose(rowptr: Tensor, col: Tensor, num_cols: int) -> tuple[Tensor, Tensor, Tensor]:
    """`csr.csr_transpose` of CPU tensors whose values are known to be in range."""
    rowptr, col = rowptr.contiguous(), col.contiguous()
    start = rowptr.new_zeros(num_cols + 1)
    _count(start.numpy(), col.numpy())
    row_out = torch.empty_like(col)
    order = torch.empty(col.numel(), dtype=torch.int64)
    _place(rowptr.numpy(), col.numpy(), start.numpy().copy(), row_out.numpy(), order.numpy())
    return start, row_out, order
