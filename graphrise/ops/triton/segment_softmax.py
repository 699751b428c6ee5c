"""Softmax within segments, and its gradient: each thread walks the segment of its own row."""

# A checker of types takes the language of kernels for Python.
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from graphrise.ops.triton.csr import blank, bounds
from graphrise.ops.triton.device import device_of
from graphrise.ops.triton.dtypes import wide
from graphrise.ops.triton.grid import own_columns
from graphrise.ops.triton.segment import shape


@triton.jit
def softmax_kernel(
    out,
    src,
    rowptr,
    num_rows,
    entries,
    dim,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    DIM: tl.constexpr,
):
    """Two walks: the largest with the sum of exponentials, kept in step, and the results.

    0 of entries of no row.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    begin, end = bounds(rowptr, row, row < num_rows, entries)
    length = end - begin
    place = own_columns(DIM)
    inside = place < dim
    top = tl.zeros([ROWS, DIM], dtype=WIDE)
    total = tl.full([ROWS, DIM], 1.0, dtype=WIDE)
    to = begin[:, None] * dim + place[None, :]
    longest = tl.max(length, axis=0)
    for k in range(longest):
        mask = (k < length)[:, None] & inside[None, :]
        x = tl.load(src + to + k * dim, mask=mask, other=float("-inf")).to(WIDE)
        higher = tl.where(mask & (k == 0), x, tl.maximum(top, x))
        # Of an infinity less itself the power is no number, though it is taken for 1 here.
        scale = tl.where(top == higher, 1.0, tl.exp(top - higher))
        power = tl.where(x == higher, 1.0, tl.exp(x - higher))
        total = tl.where(mask, tl.where(k == 0, power, total * scale + power), total)
        top = tl.where(mask, higher, top)
    for k in range(longest):
        mask = (k < length)[:, None] & inside[None, :]
        x = tl.load(src + to + k * dim, mask=mask, other=float("-inf")).to(WIDE)
        tl.store(out + to + k * dim, tl.exp(x - top) / total, mask=mask)
    blank(out, rowptr, num_rows, entries, dim, place, inside, ROWS, DIM)


@triton.jit
def backward_kernel(
    out,
    grad,
    y,
    rowptr,
    num_rows,
    entries,
    dim,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    DIM: tl.constexpr,
):
    """`out = y (grad - sum_f y_f grad_f)` over the entries f of the row; 0 of entries of none."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    begin, end = bounds(rowptr, row, row < num_rows, entries)
    length = end - begin
    place = own_columns(DIM)
    inside = place < dim
    dot = tl.zeros([ROWS, DIM], dtype=WIDE)
    to = begin[:, None] * dim + place[None, :]
    longest = tl.max(length, axis=0)
    for k in range(longest):
        mask = (k < length)[:, None] & inside[None, :]
        g = tl.load(grad + to + k * dim, mask=mask, other=0.0).to(WIDE)
        dot += g * tl.load(y + to + k * dim, mask=mask, other=0.0).to(WIDE)
    for k in range(longest):
        mask = (k < length)[:, None] & inside[None, :]
        g = tl.load(grad + to + k * dim, mask=mask, other=0.0).to(WIDE)
        p = tl.load(y + to + k * dim, mask=mask, other=0.0).to(WIDE)
        tl.store(out + to + k * dim, p * (g - dot), mask=mask)
    blank(out, rowptr, num_rows, entries, dim, place, inside, ROWS, DIM)


def segment_softmax_(out: Tensor, src: Tensor, rowptr: Tensor) -> None:
    """Write `out` `[E, D]`; contiguous tensors of one device."""
    num_rows = rowptr.numel() - 1
    grid, options = shape(num_rows, src.size(1))
    acc = wide(src.dtype)
    with device_of(out):
        softmax_kernel[grid](out, src, rowptr, num_rows, *src.shape, WIDE=acc, **options)


def segment_softmax_backward_(out: Tensor, grad: Tensor, y: Tensor, rowptr: Tensor) -> None:
    """Write `out` `[E, D]`, the gradient of what `y` is the softmax of; as above."""
    num_rows = rowptr.numel() - 1
    grid, options = shape(num_rows, y.size(1))
    acc = wide(y.dtype)
    with device_of(out):
        backward_kernel[grid](out, grad, y, rowptr, num_rows, *y.shape, WIDE=acc, **options)
