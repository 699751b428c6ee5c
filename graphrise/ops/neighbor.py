"""Weighted sums and means of neighbours' rows over a CSR graph, without a tensor of messages."""

from __future__ import annotations

from typing import Any, Optional

import torch
from torch import Tensor

from graphrise.errors import ConfigError
from graphrise.ops.backend import Backend, choose
from graphrise.ops.checks import check_index, check_rowptr, checked_mode, demand_index, inside
from graphrise.ops.csr import csr_transpose, row_index, row_lengths
from graphrise.ops.dtypes import wide as widened
from graphrise.ops.scatter_blocks import add_block_
from graphrise.ops.segment_sum import segment_sum

_BACKENDS: tuple[Backend, ...] = ("triton", "numba", "torch")
_BLOCK = 1 << 22
"""Numbers gathered at a time where no compiled loop does it: 16 MiB of float32."""


def neighbor_sum(
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None = None,
    *,
    symmetric: bool = False,
    backend: Backend | None = None,
) -> Tensor:
    """`out_i = sum_e weight_e z[col_e]` over the entries e of row i; gather and sum in one pass.

    Deterministic, gradients too: that of z is the sum over the transposed graph. Half precision is
    summed in float32.

    Args:
        z: `[M, D]`, any float dtype.
        rowptr: int32 or int64 `[N + 1]`.
        col: int32 or int64 `[E]` in `[0, M)`.
        weight: `[E]` of z's dtype or float32; None: 1 each.
        symmetric: The graph is its own transpose, weights included (both directions of an edge are
            stored, as in `graph.Graph`): the gradient of z then needs no transposing.
        backend: Force one; None: `GRAPHRISE_BACKEND` or the best for device and dtype.

    Returns:
        `[N, D]` of z's dtype; 0 for a row without entries.

    Raises:
        ConfigError: A shape or dtype is not as above, or the backend cannot run here.
        DataError: rowptr is no CSR pointer or a col is out of range (looked for on CPUs, and on
            GPUs with GRAPHRISE_CHECKED=1; else such entries are left out).
    """
    _demand(z, rowptr, col, weight, symmetric)
    name = choose("neighbor_sum", z, _BACKENDS, backend)
    return _neighbor_sum(z, rowptr, col, weight, symmetric, False, name)


def neighbor_mean(
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None = None,
    *,
    symmetric: bool = False,
    backend: Backend | None = None,
) -> Tensor:
    """`neighbor_sum` divided by the row's total weight; arguments and errors as there.

    An entry that is left out, since its unchecked col is out of range, counts in that weight still.

    Returns:
        `[N, D]` of z's dtype; 0 for a row whose weights are all 0 or that has none.
    """
    _demand(z, rowptr, col, weight, symmetric)
    name = choose("neighbor_mean", z, _BACKENDS, backend)
    total = _neighbor_sum(z, rowptr, col, weight, symmetric, True, name)
    if weight is None:
        share = row_lengths(rowptr, col.numel()).to(total.dtype).unsqueeze(1)
    else:
        share = segment_sum(weight.to(total.dtype).unsqueeze(1), rowptr, True, name)
    return (total / torch.where(share == 0, 1, share)).to(z.dtype)


def _demand(z: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor | None, symmetric: bool) -> None:
    if z.dim() != 2 or not z.is_floating_point():
        raise ConfigError(f"neighbor_sum: z must be float [M, D], got {z.dtype} {list(z.shape)}")
    demand_index("neighbor_sum", "rowptr", rowptr)
    demand_index("neighbor_sum", "col", col)
    if not rowptr.numel():
        raise ConfigError("neighbor_sum: rowptr must be [N + 1], got no entry")
    dtypes = (z.dtype, widened(z.dtype))
    if weight is not None and (weight.shape != col.shape or weight.dtype not in dtypes):
        raise ConfigError(
            f"neighbor_sum: weight must be {list(col.shape)} of z's {z.dtype}, got {weight.dtype} "
            f"{list(weight.shape)}"
        )
    if symmetric and rowptr.numel() != z.size(0) + 1:
        raise ConfigError(f"neighbor_sum: a graph of {rowptr.numel() - 1} rows on {z.size(0)} z")


@torch.library.custom_op("graphrise::neighbor_sum", mutates_args=())
def _neighbor_sum(
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Optional[Tensor],  # noqa: UP045 (torch reads the schema from it)
    symmetric: bool,
    wide: bool,
    backend: str,
) -> Tensor:
    """`wide`: the result in what is summed in, not rounded to z's dtype."""
    _check("neighbor_sum", z, rowptr, col)
    z, rowptr, col = z.contiguous(), rowptr.contiguous(), col.contiguous()
    weight = None if weight is None else weight.contiguous()
    dtype = widened(z.dtype) if wide else z.dtype
    out = z.new_zeros(rowptr.numel() - 1, z.size(1), dtype=dtype)
    if out.numel() == 0 or col.numel() == 0 or z.size(0) == 0:
        return out
    if backend == "numba":
        from graphrise.ops.cpu.neighbor import neighbor_sum_
    elif backend == "triton":
        from graphrise.ops.triton.neighbor import neighbor_sum_
    else:
        neighbor_sum_ = _by_blocks_
    neighbor_sum_(out, z, rowptr, col, weight)
    return out


@_neighbor_sum.register_fake
def _(
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    symmetric: bool,
    wide: bool,
    backend: str,
) -> Tensor:
    dtype = widened(z.dtype) if wide else z.dtype
    return z.new_empty(rowptr.numel() - 1, z.size(1), dtype=dtype)


@torch.library.custom_op("graphrise::edge_dot", mutates_args=())
def _edge_dot(g: Tensor, z: Tensor, rowptr: Tensor, col: Tensor, backend: str) -> Tensor:
    """`g[row_e] . z[col_e]` of every entry, `[E]`: what the weights' gradient is."""
    _check("edge_dot", z, rowptr, col)
    g, z, rowptr, col = (of.contiguous() for of in (g, z, rowptr, col))
    out = g.new_zeros(col.numel())
    if g.numel() == 0 or z.numel() == 0:
        return out
    if backend == "numba":
        from graphrise.ops.cpu.neighbor import edge_dot_
    elif backend == "triton":
        from graphrise.ops.triton.neighbor import edge_dot_
    else:
        edge_dot_ = _dots_by_blocks_
    edge_dot_(out, g, z, rowptr, col)
    return out


@_edge_dot.register_fake
def _(g: Tensor, z: Tensor, rowptr: Tensor, col: Tensor, backend: str) -> Tensor:
    return g.new_empty(col.numel())


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    z, rowptr, col, weight, ctx.symmetric, _, ctx.backend = inputs
    ctx.save_for_backward(z if ctx.needs_input_grad[3] else None, rowptr, col, weight)
    ctx.rows, ctx.dtype = z.size(0), z.dtype


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    z, rowptr, col, weight = ctx.saved_tensors
    to_z = to_weight = None
    if ctx.needs_input_grad[0]:
        back = rowptr, col, weight
        if not ctx.symmetric:
            start, row, order = csr_transpose(rowptr, col, ctx.rows)
            back = start, row, None if weight is None else weight[order]
        to_z = _neighbor_sum(grad, *back, ctx.symmetric, False, ctx.backend).to(ctx.dtype)
    if weight is not None and ctx.needs_input_grad[3]:
        to_weight = _edge_dot(grad, z, rowptr, col, ctx.backend).to(weight.dtype)
    return to_z, None, None, to_weight, None, None, None


_neighbor_sum.register_autograd(_backward, setup_context=_setup)


def _check(op: str, z: Tensor, rowptr: Tensor, col: Tensor) -> None:
    if checked_mode(z):
        check_rowptr(op, rowptr, col.numel())
        check_index(op, "col", col, z.size(0))


def _by_blocks_(out: Tensor, z: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor | None) -> None:
    dtype, rows, step = widened(z.dtype), out.size(0), max(1, _BLOCK // z.size(1))
    row, total = row_index(rowptr, col.numel()), out
    if not checked_mode(z):
        # Entries that are left out are added to a row too many.
        row, col = _led(row, col, rows, z.size(0))
        total = z.new_zeros(rows + 1, z.size(1), dtype=dtype)
    elif out.dtype != dtype:
        total = out.to(dtype)
    for begin in range(0, col.numel(), step):
        part = slice(begin, begin + step)
        message = z.index_select(0, col[part]).to(dtype)
        if weight is not None:
            message.mul_(weight[part].to(dtype).unsqueeze(1))
        add_block_(total, message, row[part], deterministic=True)
    if total is not out:
        out.copy_(total[:rows])


def _dots_by_blocks_(out: Tensor, g: Tensor, z: Tensor, rowptr: Tensor, col: Tensor) -> None:
    dtype, rows, step = widened(z.dtype), g.size(0), max(1, _BLOCK // z.size(1))
    row, checked = row_index(rowptr, col.numel()), checked_mode(z)
    if not checked:
        row, col = _led(row, col, rows, z.size(0))
    for begin in range(0, col.numel(), step):
        part = slice(begin, begin + step)
        own = g.index_select(0, row[part] if checked else row[part].clamp(max=rows - 1))
        out[part] = (own.to(dtype) * z.index_select(0, col[part]).to(dtype)).sum(dim=1)
    if not checked:
        out.masked_fill_(row == rows, 0)


def _led(row: Tensor, col: Tensor, rows: int, num_z: int) -> tuple[Tensor, Tensor]:
    """Row and column of each entry; of those that are left out `rows`, and a column there is."""
    there = (row < rows) & inside(col, num_z)
    return torch.where(there, row, rows), torch.where(there, col, 0)
