"""Sums and extremes of segments: a program for some rows, of which each thread walks its own."""

# A checker of types takes the language of kernels for Python.
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrise.ops.triton.csr import blank, bounds
from graphrise.ops.triton.device import device_of
from graphrise.ops.triton.dtypes import wide
from graphrise.ops.triton.grid import own_columns, tiled

PART = 2048
"""Entries that are summed at a time of a segment of at least twice as many."""
WARPS = 4
ENTRIES = 16
"""Entries of a long segment that are loaded at once."""
UNROLL = 4


@triton.jit
def walk_sum(
    total, src, begin, length, dim, place, inside, WIDE: tl.constexpr, UNROLL: tl.constexpr
):
    """Add `length` rows from `begin` on, each row of `total` its own."""
    at = src + begin[:, None] * dim + place[None, :]
    step = tl.cast(dim, tl.int64)
    longest = tl.max(length, axis=0)
    for k in range(0, longest, UNROLL):
        for u in tl.static_range(UNROLL):
            mask = (k + u < length)[:, None] & inside[None, :]
            total += tl.load(at + u * step, mask=mask, other=0.0).to(WIDE)
        at += UNROLL * step
    return total


@triton.jit
def sum_kernel(
    out,
    src,
    parts,
    rowptr,
    num_rows,
    entries,
    dim,
    WIDE: tl.constexpr,
    PART: tl.constexpr,
    UNROLL: tl.constexpr,
    ROWS: tl.constexpr,
    DIM: tl.constexpr,
):
    """`out[row] = sum_e src[e]` of ROWS rows; of long ones the sums in `parts` are added."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    there = row < num_rows
    begin, end = bounds(rowptr, row, there, entries)
    length = end - begin
    place = own_columns(DIM)
    inside = place < dim
    long = length >= 2 * PART
    total = tl.zeros([ROWS, DIM], dtype=WIDE)
    short = tl.where(long, 0, length)
    total = walk_sum(total, src, begin, short, dim, place, inside, WIDE, UNROLL)
    pieces = tl.where(long, length // PART, 0)
    total = walk_sum(total, parts, begin // PART, pieces, dim, place, inside, WIDE, UNROLL)
    mask = there[:, None] & inside[None, :]
    tl.store(out + row[:, None] * dim + place[None, :], total, mask=mask)


@triton.jit
def part_kernel(
    parts,
    src,
    rowptr,
    num_rows,
    entries,
    dim,
    steps,
    WIDE: tl.constexpr,
    PART: tl.constexpr,
    ENTRIES: tl.constexpr,
    DIM: tl.constexpr,
):
    """Sum of one piece of a long segment.

    A segment from b on, L long, has L // PART pieces of PART entries, the last of which takes the
    rest; the k-th is summed into `parts[b // PART + k]`. No two segments share such a place, and
    the segment of place p holds entry (p + 1) PART - 1: it is looked up by halving.
    """
    slot = tl.program_id(0).to(tl.int64)
    inner = (slot + 1) * PART - 1
    low, high = slot * 0, slot * 0 + num_rows
    for _ in range(steps):
        middle = (low + high) // 2
        below = tl.load(rowptr + middle).to(tl.int64) <= inner
        low, high = tl.where(below, middle, low), tl.where(below, high, middle)
    begin, end = bounds(rowptr, low, low < num_rows, entries)
    pieces = (end - begin) // PART
    k = slot - begin // PART
    mine = (pieces >= 2) & (k >= 0) & (k < pieces)
    first = begin + k * PART
    last = tl.where(k == pieces - 1, end, first + PART)
    last = tl.where(mine, last, first)
    place = own_columns(DIM)
    inside = place < dim
    total = tl.zeros([ENTRIES, DIM], dtype=WIDE)
    for start in range(first, last, ENTRIES):
        entry = start + tl.arange(0, ENTRIES)
        mask = (entry < last)[:, None] & inside[None, :]
        at = src + entry[:, None] * dim + place[None, :]
        total += tl.load(at, mask=mask, other=0.0).to(WIDE)
    tl.store(parts + slot * dim + place, tl.sum(total, axis=0), mask=inside & mine)


@triton.jit
def spread_kernel(
    out,
    value,
    rowptr,
    num_rows,
    entries,
    dim,
    UNROLL: tl.constexpr,
    ROWS: tl.constexpr,
    DIM: tl.constexpr,
):
    """`out[e] = value[row]` of the entries of ROWS rows; 0 of entries of none."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    there = row < num_rows
    begin, end = bounds(rowptr, row, there, entries)
    length = end - begin
    place = own_columns(DIM)
    inside = place < dim
    mask = there[:, None] & inside[None, :]
    own = tl.load(value + row[:, None] * dim + place[None, :], mask=mask, other=0.0)
    at = out + begin[:, None] * dim + place[None, :]
    step = tl.cast(dim, tl.int64)
    longest = tl.max(length, axis=0)
    for k in range(0, longest, UNROLL):
        for u in tl.static_range(UNROLL):
            mask = (k + u < length)[:, None] & inside[None, :]
            tl.store(at + u * step, own, mask=mask)
        at += UNROLL * step
    blank(out, rowptr, num_rows, entries, dim, place, inside, ROWS, DIM)


@triton.jit
def extreme_kernel(
    out,
    arg,
    src,
    rowptr,
    num_rows,
    entries,
    dim,
    LARGEST: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    DIM: tl.constexpr,
):
    """Extreme of ROWS rows and its first entry; NaN is one. 0 and `entries` of empty rows."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    there = row < num_rows
    begin, end = bounds(rowptr, row, there, entries)
    length = end - begin
    place = own_columns(DIM)
    inside = place < dim
    best = tl.zeros([ROWS, DIM], dtype=WIDE)
    at = tl.zeros([ROWS, DIM], dtype=tl.int64) + entries
    longest = tl.max(length, axis=0)
    for k in range(longest):
        mask = (k < length)[:, None] & inside[None, :]
        entry = begin[:, None] + k
        x = tl.load(src + entry * dim + place[None, :], mask=mask, other=0.0).to(WIDE)
        beyond = x > best if LARGEST else x < best
        better = mask & ((k == 0) | beyond | ((x != x) & (best == best)))
        best = tl.where(better, x, best)
        at = tl.where(better, entry, at)
    mask = there[:, None] & inside[None, :]
    to = row[:, None] * dim + place[None, :]
    tl.store(out + to, best, mask=mask)
    tl.store(arg + to, at, mask=mask)


def shape(num_rows: int, dim: int) -> tuple[tuple[int, int, int], dict[str, int]]:
    """Grid, and rows and columns of a program: 1,024 numbers, 8 of a thread."""
    columns = min(triton.next_power_of_2(dim), 256)
    rows = min(1024 // columns, 32 * WARPS)
    grid = tiled(triton.cdiv(num_rows, rows), triton.cdiv(dim, columns))
    return grid, {"ROWS": rows, "DIM": columns, "num_warps": WARPS}


def segment_sum_(out: Tensor, src: Tensor, rowptr: Tensor) -> None:
    """Write `out` `[N, D]`; contiguous tensors of one device."""
    entries, dim, acc = src.size(0), src.size(1), wide(src.dtype)
    grid, options = shape(out.size(0), dim)
    parts = src.new_empty(entries // PART, dim, dtype=_torch(acc))
    with device_of(out):
        if parts.size(0) > 1:  # whether there are long segments is not known here
            part_kernel[(parts.size(0), *grid[1:])](
                parts,
                src,
                rowptr,
                out.size(0),
                entries,
                dim,
                out.size(0).bit_length(),
                WIDE=acc,
                PART=PART,
                ENTRIES=ENTRIES,
                DIM=options["DIM"],
                num_warps=WARPS,  # pyright: ignore[reportCallIssue]
            )
        sum_kernel[grid](
            out,
            src,
            parts,
            rowptr,
            out.size(0),
            entries,
            dim,
            WIDE=acc,
            PART=PART,
            UNROLL=UNROLL,
            **options,
        )


def segment_spread_(out: Tensor, value: Tensor, rowptr: Tensor) -> None:
    """Write `out` `[E, D]`; as above."""
    grid, options = shape(value.size(0), out.size(1))
    size = value.size(0), *out.shape
    with device_of(out):
        spread_kernel[grid](out, value, rowptr, *size, UNROLL=UNROLL, **options)


def segment_extreme_(out: Tensor, arg: Tensor, src: Tensor, rowptr: Tensor, largest: bool) -> None:
    """Write `out` and int64 `arg` `[N, D]`; as above."""
    grid, options = shape(out.size(0), src.size(1))
    size = out.size(0), *src.shape
    acc = wide(src.dtype)
    with device_of(out):
        extreme_kernel[grid](out, arg, src, rowptr, *size, LARGEST=largest, WIDE=acc, **options)


def _torch(dtype: tl.dtype) -> torch.dtype:
    return torch.float64 if dtype == tl.float64 else torch.float32
