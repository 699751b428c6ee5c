"""Neighbours' rows summed: a program for each row of a CSR graph."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from graphrise.ops.triton.csr import bounds
from graphrise.ops.triton.device import device_of
from graphrise.ops.triton.dtypes import wide
from graphrise.ops.triton.grid import own_columns, tiled

ENTRIES = 16
"""Entries that are loaded at once: what an image has of neighbours."""


@triton.jit
def sum_kernel(
    out,
    z,
    rowptr,
    col,
    weight,
    num_z,
    entries,
    dim,
    HAS_WEIGHT: tl.constexpr,
    WIDE: tl.constexpr,
    ENTRIES: tl.constexpr,
    DIM: tl.constexpr,
):
    """`out[row] = sum_e weight[e] z[col[e]]` of one row and DIM of its columns."""
    row = tl.program_id(0).to(tl.int64)
    begin, end = bounds(rowptr, row, True, entries)
    place = own_columns(DIM)
    inside = place < dim
    total = tl.zeros([DIM], dtype=WIDE)
    for start in range(begin, end, ENTRIES):
        entry = start + tl.arange(0, ENTRIES)
        there = entry < end
        to = tl.load(col + entry, mask=there, other=0).to(tl.int64)
        there = there & (to >= 0) & (to < num_z)
        mask = there[:, None] & inside[None, :]
        rows = tl.load(z + to[:, None] * dim + place[None, :], mask=mask, other=0.0).to(WIDE)
        if HAS_WEIGHT:
            rows *= tl.load(weight + entry, mask=there, other=0.0).to(WIDE)[:, None]
        total += tl.sum(rows, axis=0)
    tl.store(out + row * dim + place, total, mask=inside)


@triton.jit
def dot_kernel(
    out,
    g,
    z,
    rowptr,
    col,
    num_z,
    entries,
    dim,
    WIDE: tl.constexpr,
    ENTRIES: tl.constexpr,
    DIM: tl.constexpr,
):
    """`out[e] = g[row] . z[col[e]]` of the entries of one row; DIM is at least `dim`."""
    row = tl.program_id(0).to(tl.int64)
    begin, end = bounds(rowptr, row, True, entries)
    place = tl.arange(0, DIM)
    inside = place < dim
    own = tl.load(g + row * dim + place, mask=inside, other=0.0).to(WIDE)
    for start in range(begin, end, ENTRIES):
        entry = start + tl.arange(0, ENTRIES)
        there = entry < end
        to = tl.load(col + entry, mask=there, other=0).to(tl.int64)
        there = there & (to >= 0) & (to < num_z)
        mask = there[:, None] & inside[None, :]
        rows = tl.load(z + to[:, None] * dim + place[None, :], mask=mask, other=0.0).to(WIDE)
        tl.store(out + entry, tl.sum(rows * own[None, :], axis=1), mask=there)


def neighbor_sum_(
    out: Tensor, z: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor | None
) -> None:
    """Write `out` `[N, D]`; contiguous tensors of one device."""
    dim = min(triton.next_power_of_2(z.size(1)), 256)
    grid = tiled(out.size(0), triton.cdiv(z.size(1), dim))
    given = z if weight is None else weight
    with device_of(out):
        sum_kernel[grid](
            out,
            z,
            rowptr,
            col,
            given,
            z.size(0),
            col.numel(),
            z.size(1),
            HAS_WEIGHT=weight is not None,
            WIDE=wide(z.dtype),
            ENTRIES=ENTRIES,
            DIM=dim,
            num_warps=1 if dim <= 128 else 2,  # pyright: ignore[reportCallIssue]
        )


def edge_dot_(out: Tensor, g: Tensor, z: Tensor, rowptr: Tensor, col: Tensor) -> None:
    """Write `out` `[E]`; contiguous tensors of one device."""
    dim = triton.next_power_of_2(z.size(1))
    with device_of(out):
        dot_kernel[(g.size(0),)](
            out,
            g,
            z,
            rowptr,
            col,
            z.size(0),
            col.numel(),
            z.size(1),
            WIDE=wide(z.dtype),
            ENTRIES=ENTRIES,
            DIM=dim,
            num_warps=1 if dim <= 128 else 4,  # pyright: ignore[reportCallIssue]
        )
