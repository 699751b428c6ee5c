"""The op below `ops.scatter` that adds rows in any order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphrise.ops.backend import Backend
from graphrise.ops.dtypes import wide
from graphrise.ops.scatter_blocks import add_
from graphrise.ops.scatter_index import as_rows, by_row, check, follow

_WIDE: tuple[Backend, ...] = ("triton", "numba", "torch", "torch_scatter")
_NARROW: tuple[Backend, ...] = ("triton", "torch", "numba", "torch_scatter")
_ENOUGH = 16
"""Columns from which a thread that goes through all of the index has enough to do for a row."""


def backends(dim: int) -> tuple[Backend, ...]:
    """What there is for rows of `dim` columns, best first."""
    return _WIDE if dim >= _ENOUGH else _NARROW


@torch.library.custom_op("graphrise::scatter_sum", mutates_args=())
def scatter_sum(
    src: Tensor, index: Tensor, rows: int, wide_out: bool, deterministic: bool, backend: str
) -> Tensor:
    """`out[index_e] += src_e`; `[E, D]` -> `[rows, D]`.

    Args:
        src: `[E, D]`.
        index: int32 or int64 `[E]`, or `[E, D]`, for each number its own.
        rows: Of the result.
        wide_out: The result in what is summed in, not rounded to src's dtype.
        deterministic: On GPUs too: entries are sorted, and each row summed in their order.
        backend: One of `backends`.
    """
    check("scatter_sum", src, index, rows)
    dtype = wide(src.dtype) if wide_out else src.dtype
    out = src.new_zeros(rows, src.size(1), dtype=dtype)
    if out.numel() and src.numel():
        flat, place, places = as_rows(src, index, rows)
        args = flat.contiguous(), place.contiguous(), deterministic
        _SUMS.get(backend, add_)(out.view(places, flat.size(1)), *args)
    return out


@scatter_sum.register_fake
def _(
    src: Tensor, index: Tensor, rows: int, wide_out: bool, deterministic: bool, backend: str
) -> Tensor:
    dtype = wide(src.dtype) if wide_out else src.dtype
    return src.new_empty(rows, src.size(1), dtype=dtype)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])
    ctx.dtype = inputs[0].dtype


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (index,) = ctx.saved_tensors
    return follow(grad.to(ctx.dtype), index), None, None, None, None, None


scatter_sum.register_autograd(_backward, setup_context=_setup)


def _by_numba(out: Tensor, src: Tensor, index: Tensor, deterministic: bool) -> None:
    from graphrise.ops.cpu.scatter import scatter_sum_

    scatter_sum_(out, src, index)


def _by_triton(out: Tensor, src: Tensor, index: Tensor, deterministic: bool) -> None:
    from graphrise.ops.triton.neighbor import neighbor_sum_
    from graphrise.ops.triton.scatter import scatter_sum_

    if deterministic:
        # Rows of src gathered in the order of the sort, and summed: a CSR graph's neighbours.
        neighbor_sum_(out, src, *by_row(index, out.size(0)), None)
        return
    total = out if out.dtype == wide(src.dtype) else out.to(wide(src.dtype))
    scatter_sum_(total, src, index)
    if total is not out:
        out.copy_(total)


def _by_peer(out: Tensor, src: Tensor, index: Tensor, deterministic: bool) -> None:
    from graphrise.ops.scatter_peer import scatter_sum_

    scatter_sum_(out, src, index)


_SUMS = {"numba": _by_numba, "triton": _by_triton, "torch_scatter": _by_peer}
