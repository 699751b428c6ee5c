"""What is below `ops.scatter`'s softmax: entries sorted by index, and put back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphrise.ops.dtypes import wide
from graphrise.ops.scatter_index import as_rows, by_row
from graphrise.ops.segment_extreme import segment_extreme
from graphrise.ops.segment_softmax import segment_softmax
from graphrise.ops.segment_sum import segment_spread, segment_sum


def scatter_softmax(src: Tensor, index: Tensor, rows: int, log: bool, backend: str) -> Tensor:
    """Softmax, or its logarithm, over the entries of one index.

    Args:
        src: `[E, D]`.
        index: int32 or int64 `[E]` or `[E, D]`, in `[0, rows)`.
        rows: Indices there are.
        log: The logarithm.
        backend: One of `segment_softmax.BACKENDS`.

    Returns:
        `[E, D]`.
    """
    flat, place, places = as_rows(src, index, rows)
    rowptr, order = by_row(place, places)
    back = torch.empty_like(order)
    back[order] = torch.arange(order.numel(), device=order.device)
    take = _log_softmax if log else segment_softmax
    ordered = take(_permuted(flat, order, back), rowptr, backend)
    return _permuted(ordered, back, order).view_as(src)


def _log_softmax(src: Tensor, rowptr: Tensor, backend: str) -> Tensor:
    x, entries = src.to(wide(src.dtype)), src.size(0)
    top, _ = segment_extreme(x.detach(), rowptr, True, backend)
    shifted = x - segment_spread(top, rowptr, entries, backend)
    total = segment_sum(shifted.exp(), rowptr, False, backend)
    return (shifted - segment_spread(total.log(), rowptr, entries, backend)).to(src.dtype)


@torch.library.custom_op("graphrise::permuted_rows", mutates_args=())
def _permuted(src: Tensor, order: Tensor, back: Tensor) -> Tensor:
    """`src[order]`; `back` undoes it, so the gradient is taken in that order and not added up."""
    return src.index_select(0, order)


@_permuted.register_fake
def _(src: Tensor, order: Tensor, back: Tensor) -> Tensor:
    return torch.empty_like(src, memory_format=torch.contiguous_format)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[2], inputs[1])


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return _permuted(grad, *ctx.saved_tensors), None, None


_permuted.register_autograd(_backward, setup_context=_setup)
