"""The ops below `ops.segment`: rows summed by segment, and spread back over one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphrise.ops.backend import Backend
from graphrise.ops.checks import check_rowptr, checked_mode
from graphrise.ops.csr import row_index
from graphrise.ops.dtypes import wide
from graphrise.ops.scatter_blocks import add_
from graphrise.ops.scatter_index import follow

BACKENDS: tuple[Backend, ...] = ("triton", "numba", "torch", "torch_scatter")


@torch.library.custom_op("graphrise::segment_sum", mutates_args=())
def segment_sum(src: Tensor, rowptr: Tensor, wide_out: bool, backend: str) -> Tensor:
    """`out_i = sum_e src_e` over the entries of segment i; `[E, D]` -> `[N, D]`.

    Args:
        src: `[E, D]`.
        rowptr: int32 or int64 `[N + 1]`.
        wide_out: The result in what is summed in, not rounded to src's dtype.
        backend: One of BACKENDS.
    """
    if checked_mode(src):
        check_rowptr("segment_sum", rowptr, src.size(0))
    src, rowptr = src.contiguous(), rowptr.contiguous()
    dtype = wide(src.dtype) if wide_out else src.dtype
    out = src.new_empty(rowptr.numel() - 1, src.size(1), dtype=dtype)
    if out.numel() == 0 or src.numel() == 0:
        return out.zero_()
    if backend == "numba":
        from graphrise.ops.cpu.segment import segment_sum_
    elif backend == "triton":
        from graphrise.ops.triton.segment import segment_sum_
    elif backend == "torch_scatter":
        from graphrise.ops.scatter_peer import segment_sum_
    else:
        segment_sum_ = _sum_by_blocks_
    segment_sum_(out, src, rowptr)
    return out


@segment_sum.register_fake
def _(src: Tensor, rowptr: Tensor, wide_out: bool, backend: str) -> Tensor:
    dtype = wide(src.dtype) if wide_out else src.dtype
    return src.new_empty(rowptr.numel() - 1, src.size(1), dtype=dtype)


@torch.library.custom_op("graphrise::segment_spread", mutates_args=())
def segment_spread(value: Tensor, rowptr: Tensor, entries: int, backend: str) -> Tensor:
    """`out_e = value_i` for each entry e of segment i, 0 of none's; `[N, D]` -> `[entries, D]`."""
    if checked_mode(value):
        check_rowptr("segment_spread", rowptr, entries)
    value, rowptr = value.contiguous(), rowptr.contiguous()
    out = value.new_empty(entries, value.size(1))
    if out.numel() == 0 or value.size(0) == 0:
        return out.zero_()
    if backend == "numba":
        from graphrise.ops.cpu.segment import segment_spread_
    elif backend == "triton":
        from graphrise.ops.triton.segment import segment_spread_
    else:
        return follow(value, row_index(rowptr, entries))
    segment_spread_(out, value, rowptr)
    return out


@segment_spread.register_fake
def _(value: Tensor, rowptr: Tensor, entries: int, backend: str) -> Tensor:
    return value.new_empty(entries, value.size(1))


def _sum_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    src, rowptr, _, ctx.backend = inputs
    ctx.save_for_backward(rowptr)
    ctx.entries, ctx.dtype = src.size(0), src.dtype


def _sum_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (rowptr,) = ctx.saved_tensors
    return segment_spread(grad.to(ctx.dtype), rowptr, ctx.entries, ctx.backend), None, None, None


def _spread_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, rowptr, _, ctx.backend = inputs
    ctx.save_for_backward(rowptr)


def _spread_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (rowptr,) = ctx.saved_tensors
    return segment_sum(grad, rowptr, False, ctx.backend), None, None, None


segment_sum.register_autograd(_sum_backward, setup_context=_sum_setup)
segment_spread.register_autograd(_spread_backward, setup_context=_spread_setup)


def _sum_by_blocks_(out: Tensor, src: Tensor, rowptr: Tensor) -> None:
    add_(out.zero_(), src, row_index(rowptr, src.size(0)), deterministic=True)
