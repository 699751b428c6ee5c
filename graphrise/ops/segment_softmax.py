"""The op below `ops.segment` that takes the softmax within each segment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphrise.ops.backend import Backend
from graphrise.ops.checks import check_rowptr, checked_mode
from graphrise.ops.csr import row_index
from graphrise.ops.dtypes import wide
from graphrise.ops.scatter_blocks import add_block_, blocks

BACKENDS: tuple[Backend, ...] = ("triton", "numba", "torch")


@torch.library.custom_op("graphrise::segment_softmax", mutates_args=())
def segment_softmax(src: Tensor, rowptr: Tensor, backend: str) -> Tensor:
    """`out_e = exp(src_e) / sum_f exp(src_f)` over the entries f of e's segment, a column each.

    Args:
        src: `[E, D]`.
        rowptr: int32 or int64 `[N + 1]`.
        backend: One of BACKENDS.

    Returns:
        `[E, D]`; 0 of entries of no segment, which unchecked pointers can leave.
    """
    if checked_mode(src):
        check_rowptr("segment_softmax", rowptr, src.size(0))
    src, rowptr = src.contiguous(), rowptr.contiguous()
    out = torch.empty_like(src)
    if out.numel() == 0 or rowptr.numel() == 1:
        return out.zero_()
    if backend == "numba":
        from graphrise.ops.cpu.segment_softmax import segment_softmax_
    elif backend == "triton":
        from graphrise.ops.triton.segment_softmax import segment_softmax_
    else:
        segment_softmax_ = _by_blocks_
    segment_softmax_(out, src, rowptr)
    return out


@segment_softmax.register_fake
def _(src: Tensor, rowptr: Tensor, backend: str) -> Tensor:
    return torch.empty_like(src, memory_format=torch.contiguous_format)


@torch.library.custom_op("graphrise::segment_softmax_backward", mutates_args=())
def _softmax_backward(grad: Tensor, y: Tensor, rowptr: Tensor, backend: str) -> Tensor:
    """`y_e (grad_e - sum_f y_f grad_f)` over the entries f of e's segment."""
    if checked_mode(y):
        check_rowptr("segment_softmax", rowptr, y.size(0))
    grad, y, rowptr = grad.contiguous(), y.contiguous(), rowptr.contiguous()
    out = torch.empty_like(y)
    if out.numel() == 0 or rowptr.numel() == 1:
        return out.zero_()
    if backend == "numba":
        from graphrise.ops.cpu.segment_softmax import segment_softmax_backward_
    elif backend == "triton":
        from graphrise.ops.triton.segment_softmax import segment_softmax_backward_
    else:
        segment_softmax_backward_ = _back_by_blocks_
    segment_softmax_backward_(out, grad, y, rowptr)
    return out


@_softmax_backward.register_fake
def _(grad: Tensor, y: Tensor, rowptr: Tensor, backend: str) -> Tensor:
    return torch.empty_like(y, memory_format=torch.contiguous_format)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(output, inputs[1])
    ctx.backend = inputs[2]


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    y, rowptr = ctx.saved_tensors
    return _softmax_backward(grad, y, rowptr, ctx.backend), None, None


segment_softmax.register_autograd(_backward, setup_context=_setup)


def _by_blocks_(out: Tensor, src: Tensor, rowptr: Tensor) -> None:
    row, dtype = row_index(rowptr, src.size(0)), wide(src.dtype)
    shape = rowptr.numel(), src.size(1)  # a row too many, for entries of none
    top = src.new_full(shape, -torch.inf)
    for part in blocks(src):
        top.scatter_reduce_(0, row[part].unsqueeze(1).expand_as(src[part]), src[part], "amax")
    total = src.new_zeros(shape, dtype=dtype)
    for part in blocks(src):
        shifted = src[part].to(dtype) - top.index_select(0, row[part])
        add_block_(total, shifted.exp_(), row[part], deterministic=True)
    # The exponentials are taken twice rather than kept: of halves they would be twice the input.
    for part in blocks(src):
        shifted = src[part].to(dtype) - top.index_select(0, row[part])
        out[part] = shifted.exp_().div_(total.index_select(0, row[part]))
    if not checked_mode(src):
        out.masked_fill_((row == rowptr.numel() - 1).unsqueeze(1), 0)


def _back_by_blocks_(out: Tensor, grad: Tensor, y: Tensor, rowptr: Tensor) -> None:
    row, dtype = row_index(rowptr, y.size(0)), wide(y.dtype)
    dot = y.new_zeros(rowptr.numel(), y.size(1), dtype=dtype)  # as above
    for part in blocks(y):
        add_block_(dot, grad[part].to(dtype) * y[part], row[part], deterministic=True)
    for part in blocks(y):
        out[part] = (grad[part] - dot.index_select(0, row[part])).mul_(y[part])
