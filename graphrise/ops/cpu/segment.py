"""Sums and extremes of the rows of each segment, one segment after the other."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from graphrise.ops.cpu.jit import compiled, over_rows
from graphrise.ops.cpu.prefetch import fetch

NARROW = 8
"""Columns below which a column is summed at a time: a loop over few is all overhead."""
_AHEAD = 1 << 13
"""Bytes between asking for a row and reading it. The rows come in order, but a processor foresees
only within a page of 4,096 bytes: a loop that asks for nothing takes up to twice as long."""


@compiled
def _sum_rows(first: int, last: int, out: np.ndarray, src: np.ndarray, rowptr: np.ndarray) -> None:
    final = rowptr[last] - 1
    ahead = 1 + _AHEAD // (src.itemsize * max(1, src.shape[1]))
    for i in range(first, last):
        begin, end = rowptr[i], rowptr[i + 1]
        total = out[i]
        if total.size < NARROW:
            for d in range(total.size):
                t = src.dtype.type(0)
                for e in range(begin, end):
                    t += src[e, d]
                total[d] = t
        else:
            total[:] = 0
            for e in range(begin, end):
                fetch(src, min(e + ahead, final), 0, total.size)
                row = src[e]
                for d in range(total.size):
                    total[d] += row[d]


@compiled
def _spread_rows(
    first: int, last: int, out: np.ndarray, value: np.ndarray, rowptr: np.ndarray
) -> None:
    for i in range(first, last):
        own = value[i]
        for e in range(rowptr[i], rowptr[i + 1]):
            row = out[e]
            for d in range(own.size):
                row[d] = own[d]


@compiled
def _extreme_rows(
    first: int,
    last: int,
    out: np.ndarray,
    arg: np.ndarray,
    src: np.ndarray,
    rowptr: np.ndarray,
    sign: float,
) -> None:
    s = src.dtype.type(sign)
    for i in range(first, last):
        begin, end = rowptr[i], rowptr[i + 1]
        best, at = out[i], arg[i]
        if begin == end:
            best[:] = 0
            at[:] = src.shape[0]
            continue
        best[:] = src[begin]
        at[:] = begin
        for e in range(begin + 1, end):
            row = src[e]
            for d in range(best.size):
                x, b = row[d], best[d]
                better = (s * x > s * b) | ((x != x) & (b == b))
                best[d] = x if better else b
                at[d] = e if better else at[d]


def segment_sum_(out: Tensor, src: Tensor, rowptr: Tensor) -> None:
    """Write `out` `[N, D]`; contiguous CPU tensors, pointers in range."""
    bounds = rowptr.long().numpy()
    over_rows(_sum_rows, bounds, src.size(1), out.numpy(), src.numpy(), bounds)


def segment_spread_(out: Tensor, value: Tensor, rowptr: Tensor) -> None:
    """Write `out` `[E, D]`, row i of `value` to each of its entries; as above."""
    bounds = rowptr.long().numpy()
    over_rows(_spread_rows, bounds, value.size(1), out.numpy(), value.numpy(), bounds)


def segment_extreme_(out: Tensor, arg: Tensor, src: Tensor, rowptr: Tensor, largest: bool) -> None:
    """Write `out` and int64 `arg` `[N, D]`; as above."""
    bounds = rowptr.long().numpy()
    args = out.numpy(), arg.numpy(), src.numpy(), bounds, 1.0 if largest else -1.0
    over_rows(_extreme_rows, bounds, src.size(1), *args)
