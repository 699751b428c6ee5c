"""Neighbours' rows summed, row by row of a CSR graph."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from graphrise.ops.cpu.jit import compiled, over_rows
from graphrise.ops.cpu.prefetch import AHEAD, fetch


@compiled
def _sum_rows(
    first: int,
    last: int,
    out: np.ndarray,
    z: np.ndarray,
    rowptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray | None,
) -> None:
    end = rowptr[last]
    for i in range(first, last):
        total = out[i]
        for e in range(rowptr[i], rowptr[i + 1]):
            if e + AHEAD < end:
                fetch(z, col[e + AHEAD], 0, z.shape[1])
            row = z[col[e]]
            if weight is None:
                for d in range(total.size):
                    total[d] += row[d]
            else:
                w = weight[e]
                for d in range(total.size):
                    total[d] += w * row[d]


@compiled
def _dot_rows(
    first: int,
    last: int,
    out: np.ndarray,
    g: np.ndarray,
    z: np.ndarray,
    rowptr: np.ndarray,
    col: np.ndarray,
) -> None:
    end = rowptr[last]
    for i in range(first, last):
        own = g[i]
        for e in range(rowptr[i], rowptr[i + 1]):
            if e + AHEAD < end:
                fetch(z, col[e + AHEAD], 0, z.shape[1])
            row = z[col[e]]
            dot = own.dtype.type(0)
            for d in range(own.size):
                dot += own[d] * row[d]
            out[e] = dot


def neighbor_sum_(
    out: Tensor, z: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor | None
) -> None:
    """Add to `out` `[N, D]`; contiguous CPU tensors, indices in range."""
    entry = None if weight is None else weight.numpy()
    args = out.numpy(), z.numpy(), rowptr.numpy(), col.numpy(), entry
    over_rows(_sum_rows, rowptr.numpy(), z.size(1), *args)


def edge_dot_(out: Tensor, g: Tensor, z: Tensor, rowptr: Tensor, col: Tensor) -> None:
    """Write `out` `[E]`; contiguous CPU tensors, indices in range."""
    args = out.numpy(), g.numpy(), z.numpy(), rowptr.numpy(), col.numpy()
    over_rows(_dot_rows, rowptr.numpy(), z.size(1), *args)
