"""Smoothness of embeddings over a whole CSR graph: weighted sums of distances along its edges."""

from __future__ import annotations

from typing import Any, Optional

import torch
from torch import Tensor

from graphrise.errors import ConfigError
from graphrise.ops import edge_blocks
from graphrise.ops.backend import Backend, choose
from graphrise.ops.checks import check_index, check_rowptr, checked_mode, demand_index
from graphrise.ops.csr import row_index
from graphrise.ops.dtypes import wide
from graphrise.ops.edge_kinds import COMPILED, Kind, demand_kind


def edge_energy(
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None = None,
    kind: Kind = "squared_l2",
    *,
    symmetric: bool = False,
    backend: Backend | None = None,
) -> Tensor:
    """`sum_e weight_e d(z[row_e], z[col_e])` over all entries: Omega of the whole graph.

    Distances are summed in float64; no tensor has an edge's length times D, in the gradient
    neither. Forward and gradient are passes of their own: in one, a fifth of the time would be
    saved (two of a symmetric graph), and another `[N, D]` held. Differentiable once. On CPUs
    the same in every run; on GPUs the gradient adds atomically, unless
    `torch.use_deterministic_algorithms` has the graph transposed or it is symmetric.

    Args:
        z: Embeddings `[N, D]`, any float dtype; half precision is subtracted in float32.
        rowptr: int32 or int64 `[N + 1]`.
        col: int32 or int64 `[E]` in `[0, N)`.
        weight: `[E]` of z's dtype or float32; None: 1 each. Its gradient are the distances.
        kind: Distance; `edge_kinds.Kind` says what each is.
        symmetric: The graph is its own transpose, weights included (both directions of an edge are
            stored, as in `graph.Graph`, and both count): the gradient of a row then needs no more
            than its own entries, three times faster. It is not looked for.
        backend: Force one; None: `GRAPHRISE_BACKEND` or the best for device and dtype.

    Returns:
        Scalar, float64 for float64 z, else float32.

    Raises:
        ConfigError: A shape, dtype or kind is not as above, or the backend cannot run here.
        DataError: rowptr is no CSR pointer or a col is out of range (looked for on CPUs, and on
            GPUs with GRAPHRISE_CHECKED=1; else such entries are left out).
    """
    _demand("edge_energy", z, rowptr, col, kind)
    dtypes = (z.dtype, wide(z.dtype))
    if weight is not None and (weight.shape != col.shape or weight.dtype not in dtypes):
        raise ConfigError(
            f"edge_energy: weight must be {list(col.shape)} of z's {z.dtype}, got {weight.dtype} "
            f"{list(weight.shape)}"
        )
    name = choose("edge_energy", z, _backends(kind), backend)
    return _edge_energy(z, rowptr, col, weight, kind, symmetric, name)


def neighbor_distance(
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    kind: Kind = "squared_l2",
    *,
    backend: Backend | None = None,
) -> Tensor:
    """`d(z[row_e], z[col_e])` of every entry; arguments, gradient and errors as `edge_energy`'s.

    Returns:
        `[E]`, float32 for half-precision z, else z's dtype.
    """
    _demand("neighbor_distance", z, rowptr, col, kind)
    name = choose("neighbor_distance", z, _backends(kind), backend)
    return _neighbor_distance(z, rowptr, col, kind, name)


def _backends(kind: str) -> tuple[Backend, ...]:
    return ("triton", "numba", "torch") if kind in COMPILED else ("torch",)


def _demand(op: str, z: Tensor, rowptr: Tensor, col: Tensor, kind: str) -> None:
    if z.dim() != 2 or not z.is_floating_point():
        raise ConfigError(f"{op}: z must be float [N, D], got {z.dtype} {list(z.shape)}")
    demand_index(op, "rowptr", rowptr)
    demand_index(op, "col", col)
    demand_kind(op, kind)
    if rowptr.numel() != z.size(0) + 1:
        raise ConfigError(
            f"{op}: rowptr must be [N + 1] = [{z.size(0) + 1}], got [{rowptr.numel()}]"
        )


@torch.library.custom_op("graphrise::edge_energy", mutates_args=())
def _edge_energy(
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Optional[Tensor],  # noqa: UP045 (torch reads the schema from it)
    kind: str,
    symmetric: bool,
    backend: str,
) -> Tensor:
    z, rowptr, col, weight = _ready("edge_energy", z, rowptr, col, weight)
    if col.numel() == 0:
        return z.new_zeros((), dtype=wide(z.dtype))
    if backend == "numba":
        from graphrise.ops.cpu.edge_distance import energy

        total = energy(z, rowptr, col, weight, kind)
    elif backend == "triton":
        from graphrise.ops.triton.edge_distance import energy

        total = energy(z, rowptr, col, weight, kind)
    else:
        total = edge_blocks.energy(z, row_index(rowptr, col.numel()), col, weight, kind)
    return total.to(wide(z.dtype))


@_edge_energy.register_fake
def _(
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    kind: str,
    symmetric: bool,
    backend: str,
) -> Tensor:
    return z.new_empty((), dtype=wide(z.dtype))


@torch.library.custom_op("graphrise::neighbor_distance", mutates_args=())
def _neighbor_distance(z: Tensor, rowptr: Tensor, col: Tensor, kind: str, backend: str) -> Tensor:
    z, rowptr, col, _ = _ready("neighbor_distance", z, rowptr, col, None)
    out = z.new_zeros(col.numel(), dtype=wide(z.dtype))
    if out.numel() == 0:
        return out
    if backend == "numba":
        from graphrise.ops.cpu.edge_distance import row_distances_
    elif backend == "triton":
        from graphrise.ops.triton.edge_distance import row_distances_
    else:
        edge_blocks.distances_(out, z, row_index(rowptr, col.numel()), col, kind)
        return out
    row_distances_(out, z, rowptr, col, kind)
    return out


@_neighbor_distance.register_fake
def _(z: Tensor, rowptr: Tensor, col: Tensor, kind: str, backend: str) -> Tensor:
    return z.new_empty(col.numel(), dtype=wide(z.dtype))


@torch.library.custom_op("graphrise::edge_energy_pull", mutates_args=())
def _pull(
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Optional[Tensor],  # noqa: UP045 (torch reads the schema from it)
    scale: Optional[Tensor],  # noqa: UP045
    kind: str,
    symmetric: bool,
    backend: str,
) -> Tensor:
    """Gradient to z of `scale * energy`, in z's dtype."""
    # Forward has looked at the indices, but nobody holds them still since.
    z, rowptr, col, weight = _ready("edge_energy", z, rowptr, col, weight)
    # A program writes a row of a symmetric graph once, so that it can be rounded at once.
    once = symmetric and backend == "triton"
    grad = z.new_zeros(z.shape, dtype=z.dtype if once else wide(z.dtype))
    if grad.numel() == 0 or col.numel() == 0:
        return grad.to(z.dtype)
    if backend == "numba":
        from graphrise.ops.cpu.edge_distance import pull_

        factor = 1.0 if scale is None else float(scale)
        pull_(grad, z, rowptr, col, weight, factor, kind, symmetric)
    elif backend == "triton":
        from graphrise.ops.triton.edge_distance import pull_

        pull_(grad, z, rowptr, col, weight, scale, kind, symmetric)
    else:
        row = row_index(rowptr, col.numel())
        edge_blocks.pull_(grad, z, row, col, weight, scale, kind, symmetric)
    return grad.to(z.dtype)


@_pull.register_fake
def _(
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    scale: Tensor | None,
    kind: str,
    symmetric: bool,
    backend: str,
) -> Tensor:
    return z.new_empty(z.shape)


def _setup_energy(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.kind, ctx.symmetric, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _backward_energy(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    z, rowptr, col, weight = ctx.saved_tensors
    to_z = to_weight = None
    if ctx.needs_input_grad[0]:
        to_z = _pull(z, rowptr, col, weight, grad, ctx.kind, ctx.symmetric, ctx.backend)
    if weight is not None and ctx.needs_input_grad[3]:
        to_weight = _neighbor_distance(z, rowptr, col, ctx.kind, ctx.backend)
        to_weight = to_weight.mul_(grad).to(weight.dtype)
    return to_z, None, None, to_weight, None, None, None


def _setup_distance(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.kind, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _backward_distance(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    to_z = _pull(*ctx.saved_tensors, grad, None, ctx.kind, False, ctx.backend)
    return to_z, None, None, None, None


_edge_energy.register_autograd(_backward_energy, setup_context=_setup_energy)
_neighbor_distance.register_autograd(_backward_distance, setup_context=_setup_distance)


def _ready(
    op: str, z: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The tensors as loops take them: contiguous, indices looked at."""
    if checked_mode(z):
        check_rowptr(op, rowptr, col.numel())
        check_index(op, "col", col, z.size(0))
    weight = None if weight is None else weight.contiguous()
    return z.contiguous(), rowptr.contiguous(), col.contiguous(), weight
