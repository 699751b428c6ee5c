"""The op below `ops.scatter` that takes the largest or smallest, in any order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphrise.ops.scatter_blocks import extreme_
from graphrise.ops.scatter_index import as_rows, by_row, check
from graphrise.ops.segment_extreme import to_entries


@torch.library.custom_op("graphrise::scatter_extreme", mutates_args=())
def scatter_extreme(
    src: Tensor, index: Tensor, rows: int, largest: bool, backend: str
) -> tuple[Tensor, Tensor]:
    """Largest or smallest of what has an index in common, and the first entry that has it.

    Args:
        src: `[E, D]`.
        index: int32 or int64 `[E]`, or `[E, D]`, for each number its own.
        rows: Of the result.
        largest: False: smallest. NaN is either.
        backend: One of `segment_sum.BACKENDS`.

    Returns:
        `[rows, D]` and int64 `[rows, D]`; 0 and E where no entry is.
    """
    check("scatter_extreme", src, index, rows)
    out = src.new_zeros(rows, src.size(1))
    arg = torch.full_like(out, src.size(0), dtype=torch.int64)
    if out.numel() == 0 or src.numel() == 0:
        return out, arg
    flat, place, places = as_rows(src, index, rows)
    at = torch.full_like(out, flat.size(0), dtype=torch.int64).view(places, flat.size(1))
    args = out.view_as(at), at, flat.contiguous(), place.contiguous(), largest
    _EXTREMES.get(backend, extreme_)(*args)
    return out, at if index.dim() == 1 else (at // src.size(1)).view_as(out)


@scatter_extreme.register_fake
def _(src: Tensor, index: Tensor, rows: int, largest: bool, backend: str) -> tuple[Tensor, Tensor]:
    out = src.new_empty(rows, src.size(1))
    return out, torch.empty_like(out, dtype=torch.int64)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.entries = inputs[0].size(0)


def _backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    (arg,) = ctx.saved_tensors
    return to_entries(grad, arg, ctx.entries), None, None, None, None


scatter_extreme.register_autograd(_backward, setup_context=_setup)


def _by_numba(out: Tensor, arg: Tensor, src: Tensor, index: Tensor, largest: bool) -> None:
    from graphrise.ops.cpu.scatter import scatter_extreme_

    scatter_extreme_(out, arg, src, index, largest)


def _by_triton(out: Tensor, arg: Tensor, src: Tensor, index: Tensor, largest: bool) -> None:
    from graphrise.ops.triton.segment import segment_extreme_

    rowptr, order = by_row(index, out.size(0))
    segment_extreme_(out, arg, src.index_select(0, order), rowptr, largest)
    # The sort is stable: the first of a row in its order is the first there is.
    entry = torch.cat((order, order.new_full((1,), order.numel())))
    arg.copy_(entry[arg])


def _by_peer(out: Tensor, arg: Tensor, src: Tensor, index: Tensor, largest: bool) -> None:
    from graphrise.ops.scatter_peer import scatter_extreme_

    scatter_extreme_(out, arg, src, index, largest)


_EXTREMES = {"numba": _by_numba, "triton": _by_triton, "torch_scatter": _by_peer}
