"""Rows added to the rows of a result in any order, by atomic additions."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from graphrise.ops.triton.device import device_of
from graphrise.ops.triton.dtypes import wide
from graphrise.ops.triton.grid import own_columns, tiled

WARPS = 4
NUMBERS = 2048
"""Of a program."""


@triton.jit
def add_kernel(
    out,
    src,
    index,
    num_rows,
    entries,
    dim,
    WIDE: tl.constexpr,
    ENTRIES: tl.constexpr,
    DIM: tl.constexpr,
):
    """`out[index[e]] += src[e]` of ENTRIES entries; indices out of range are left out."""
    entry = tl.program_id(0).to(tl.int64) * ENTRIES + tl.arange(0, ENTRIES)
    there = entry < entries
    to = tl.load(index + entry, mask=there, other=0).to(tl.int64)
    there = there & (to >= 0) & (to < num_rows)
    place = own_columns(DIM)
    mask = there[:, None] & (place < dim)[None, :]
    rows = tl.load(src + entry[:, None] * dim + place[None, :], mask=mask, other=0.0).to(WIDE)
    # Relaxed: the additions need no order among them; the default orders all memory at each.
    tl.atomic_add(out + to[:, None] * dim + place[None, :], rows, mask=mask, sem="relaxed")


def scatter_sum_(out: Tensor, src: Tensor, index: Tensor) -> None:
    """Add row e of `src` to row `index[e]` of `out`, which has the dtype that is summed in."""
    columns = min(triton.next_power_of_2(src.size(1)), 256)
    entries = min(NUMBERS // columns, 32 * WARPS)
    grid = tiled(triton.cdiv(src.size(0), entries), triton.cdiv(src.size(1), columns))
    with device_of(out):
        add_kernel[grid](
            out,
            src,
            index,
            out.size(0),
            src.size(0),
            src.size(1),
            WIDE=wide(src.dtype),
            ENTRIES=entries,
            DIM=columns,
            num_warps=WARPS,  # pyright: ignore[reportCallIssue]
        )
