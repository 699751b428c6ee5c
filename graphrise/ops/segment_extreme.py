"""The op below `ops.segment` that takes the largest or smallest of each segment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphrise.ops.checks import check_rowptr, checked_mode
from graphrise.ops.csr import row_index
from graphrise.ops.scatter_blocks import extreme_


@torch.library.custom_op("graphrise::segment_extreme", mutates_args=())
def segment_extreme(
    src: Tensor, rowptr: Tensor, largest: bool, backend: str
) -> tuple[Tensor, Tensor]:
    """Largest or smallest of each segment and column, and the first entry that has it.

    Args:
        src: `[E, D]`.
        rowptr: int32 or int64 `[N + 1]`.
        largest: False: smallest. NaN is either.
        backend: One of `segment_sum.BACKENDS`.

    Returns:
        `[N, D]` and int64 `[N, D]`; 0 and E of an empty segment.
    """
    if checked_mode(src):
        check_rowptr("segment_extreme", rowptr, src.size(0))
    src, rowptr = src.contiguous(), rowptr.contiguous()
    out = src.new_empty(rowptr.numel() - 1, src.size(1))
    arg = torch.empty_like(out, dtype=torch.int64)
    if out.numel() == 0 or src.numel() == 0:
        return out.zero_(), arg.fill_(src.size(0))
    if backend == "numba":
        from graphrise.ops.cpu.segment import segment_extreme_
    elif backend == "triton":
        from graphrise.ops.triton.segment import segment_extreme_
    elif backend == "torch_scatter":
        from graphrise.ops.scatter_peer import segment_extreme_
    else:
        extreme_(out, arg, src, row_index(rowptr, src.size(0)), largest)
        return out, arg
    segment_extreme_(out, arg, src, rowptr, largest)
    return out, arg


@segment_extreme.register_fake
def _(src: Tensor, rowptr: Tensor, largest: bool, backend: str) -> tuple[Tensor, Tensor]:
    out = src.new_empty(rowptr.numel() - 1, src.size(1))
    return out, torch.empty_like(out, dtype=torch.int64)


def to_entries(grad: Tensor, arg: Tensor, entries: int) -> Tensor:
    """Gradient of extremes, `[N, D]`, at the entries they were taken from; `[entries, D]`.

    An entry and column is the extreme of one segment at most, so nothing is summed. What an empty
    segment gets falls into a row too many.
    """
    rows = grad.new_zeros(entries + 1, grad.size(1))
    return rows.scatter(0, arg, grad)[:entries]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.entries = inputs[0].size(0)


def _backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    (arg,) = ctx.saved_tensors
    return to_entries(grad, arg, ctx.entries), None, None, None


segment_extreme.register_autograd(_backward, setup_context=_setup)
