"""A row asked for before it is needed: numba has no word for it, LLVM has."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from graphrise.ops.cpu.inlined import inlined

AHEAD = 8
"""Entries between asking for a row and reading it."""
_LINE = 64
"""Bytes that a processor fetches at once."""
_MOST = 16
"""Lines of one row that are asked for; the rest of a long row the processor foresees itself."""


@intrinsic
def _prefetch(context: Any, array: Any, row: Any, column: Any) -> Any:
    del context, row, column
    signature = types.void(array, types.intp, types.intp)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        held = context.make_array(kind)(context, builder, args[0])
        shape = cgutils.unpack_tuple(builder, held.shape)
        strides = cgutils.unpack_tuple(builder, held.strides)
        place = cgutils.get_item_pointer2(
            context, builder, held.data, shape, strides, kind.layout, args[1:], wraparound=False
        )
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        call = builder.module.declare_intrinsic(
            "llvm.prefetch", (byte,), ir.FunctionType(ir.VoidType(), (byte, *(number,) * 3))
        )
        # To be read, to be kept in all caches, data.
        flags = (number(0), number(3), number(1))
        builder.call(call, (builder.bitcast(place, byte), *flags))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _per_line(context: Any, array: Any) -> Any:
    """Numbers in a cache line, known when it is compiled: a division for each row would cost."""
    del context

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del builder, signature, args
        return context.get_constant(types.intp, _LINE * 8 // array.dtype.bitwidth)

    return types.intp(array), generate


@inlined
def fetch(x: np.ndarray, row: int, first: int, last: int) -> None:
    """Ask for `x[row, first:last]`, whose indices must be in range; changes no result.

    Loops over rows at random places of a large table take twice as long when nobody asks.
    """
    step = _per_line(x)  # pyright: ignore[reportCallIssue]
    for column in range(first, min(last, first + _MOST * step), step):
        _prefetch(x, row, column)
