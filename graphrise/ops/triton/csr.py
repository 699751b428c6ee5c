"""Row pointers, followed within memory only."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def bounds(rowptr, row, there, entries):
    """Where the rows' entries begin and end: within memory, whatever the pointers say."""
    begin = tl.load(rowptr + row, mask=there, other=0).to(tl.int64)
    end = tl.load(rowptr + row + 1, mask=there, other=0).to(tl.int64)
    begin = tl.minimum(tl.maximum(begin, 0), entries)
    return begin, tl.minimum(tl.maximum(end, begin), entries)


@triton.jit
def blank(
    out,
    rowptr,
    num_rows,
    entries,
    dim,
    place,
    inside,
    ROWS: tl.constexpr,
    DIM: tl.constexpr,
):
    """Write 0 to entries of no row: those before the first and past the last, of wrong pointers.

    The programs of the first and of the last rows do it; of right pointers there are none.
    """
    block = tl.program_id(0)
    first = tl.load(rowptr, mask=block == 0, other=0).to(tl.int64)
    last = tl.load(rowptr + num_rows, mask=block == tl.num_programs(0) - 1, other=entries)
    first = tl.minimum(first, entries)
    last = tl.maximum(last.to(tl.int64), 0)
    none = tl.zeros([ROWS, DIM], dtype=out.dtype.element_ty)
    for start in range(0, first, ROWS):
        entry = start + tl.arange(0, ROWS)
        mask = (entry < first)[:, None] & inside[None, :]
        tl.store(out + entry[:, None] * dim + place[None, :], none, mask=mask)
    for start in range(last, entries, ROWS):
        entry = start + tl.arange(0, ROWS)
        mask = (entry < entries)[:, None] & inside[None, :]
        tl.store(out + entry[:, None] * dim + place[None, :], none, mask=mask)
