"""Grids of rows and columns, of any width: only the first axis of a grid is long."""

from __future__ import annotations

import triton
import triton.language as tl

_LONGEST = 65535
"""Programs along the second and the third axis."""


def tiled(rows: int, columns: int) -> tuple[int, int, int]:
    """Programs for so many blocks of rows and blocks of columns.

    Blocks of columns are on two axes, since one is too short for a tensor whose rows are all its
    other dimensions. There can be some programs too many: their columns begin beyond the last.
    """
    layers = max(1, triton.cdiv(columns, _LONGEST))
    return rows, triton.cdiv(columns, layers), layers


@triton.jit
def own_columns(DIM: tl.constexpr):
    """The DIM columns of this program, int64."""
    block = tl.program_id(1) + tl.program_id(2) * tl.num_programs(1)
    return block.to(tl.int64) * DIM + tl.arange(0, DIM)
