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
