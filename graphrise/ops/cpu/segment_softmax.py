"""Softmax over the rows of each segment, and its gradient.

The exponentials are torch's: its loop uses vector registers, a compiled call of `exp` does not.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from graphrise.ops.cpu.jit import compiled, over_rows


@compiled
def _shift_rows(
    first: int, last: int, out: np.ndarray, src: np.ndarray, rowptr: np.ndarray
) -> None:
    top = np.empty(src.shape[1], src.dtype)
    for i in range(first, last):
        top[:] = -np.inf
        for e in range(rowptr[i], rowptr[i + 1]):
            row = src[e]
            for d in range(top.size):
                top[d] = row[d] if row[d] > top[d] else top[d]
        for e in range(rowptr[i], rowptr[i + 1]):
            row, to = src[e], out[e]
            for d in range(top.size):
                to[d] = row[d] - top[d]


@compiled
def _scale_rows(first: int, last: int, out: np.ndarray, rowptr: np.ndarray) -> None:
    total = np.empty(out.shape[1], out.dtype)
    for i in range(first, last):
        total[:] = 0
        for e in range(rowptr[i], rowptr[i + 1]):
            row = out[e]
            for d in range(total.size):
                total[d] += row[d]
        for e in range(rowptr[i], rowptr[i + 1]):
            row = out[e]
            for d in range(total.size):
                row[d] /= total[d]


@compiled
def _back_rows(
    first: int, last: int, out: np.ndarray, grad: np.ndarray, y: np.ndarray, rowptr: np.ndarray
) -> None:
    dot = np.empty(out.shape[1], out.dtype)
    for i in range(first, last):
        dot[:] = 0
        for e in range(rowptr[i], rowptr[i + 1]):
            g, p = grad[e], y[e]
            for d in range(dot.size):
                dot[d] += g[d] * p[d]
        for e in range(rowptr[i], rowptr[i + 1]):
            g, p, to = grad[e], y[e], out[e]
            for d in range(dot.size):
                to[d] = p[d] * (g[d] - dot[d])


def segment_softmax_(out: Tensor, src: Tensor, rowptr: Tensor) -> None:
    """Write `out` `[E, D]`; contiguous CPU tensors, pointers in range."""
    bounds = rowptr.long().numpy()
    over_rows(_shift_rows, bounds, src.size(1), out.numpy(), src.numpy(), bounds)
    out.exp_()
    over_rows(_scale_rows, bounds, src.size(1), out.numpy(), bounds)


def segment_softmax_backward_(out: Tensor, grad: Tensor, y: Tensor, rowptr: Tensor) -> None:
    """Write `out` `[E, D]`, the gradient of what `y` is the softmax of; as above."""
    bounds = rowptr.long().numpy()
    args = out.numpy(), grad.numpy(), y.numpy(), bounds
    over_rows(_back_rows, bounds, out.size(1), *args)
