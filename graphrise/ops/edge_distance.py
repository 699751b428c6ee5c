"""Distances along edges, differentiable, without a tensor of the edges' differences."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphrise.errors import ConfigError
from graphrise.ops import edge_blocks
from graphrise.ops.backend import Backend, choose
from graphrise.ops.checks import INDEX_DTYPES, check_index, checked_mode
from graphrise.ops.dtypes import wide
from graphrise.ops.edge_kinds import COMPILED, Kind, demand_kind

_SMALL = 1 << 18
"""Numbers that a batch's edges read below which compiled loops gain nothing."""


def edge_distance(
    z: Tensor,
    edge_index: Tensor,
    kind: Kind = "squared_l2",
    *,
    backend: Backend | None = None,
) -> Tensor:
    """Distance of the two ends of every edge, `|z_u - z_v|^2` by default.

    The d of the edge term Omega (DESIGN section 2). Half-precision embeddings are subtracted and
    summed in float32: the difference of near neighbours cancels. On CPUs gradients are the same in
    every run; on GPUs where `torch.use_deterministic_algorithms` asks for it. Differentiable once.

    Args:
        z: Embeddings `[N, D]`, any float dtype.
        edge_index: int32 or int64 `[2, E]`, values in `[0, N)`.
        kind: Distance; `edge_kinds.Kind` says what each is.
        backend: Force one; None: `GRAPHRISE_BACKEND` or the best for device, dtype and size.

    Returns:
        `[E]`, float32 for half-precision `z`, else `z`'s dtype.

    Raises:
        ConfigError: A shape, dtype or kind is not as above, or the backend cannot run here.
        DataError: An index is out of range (looked for on CPUs, and on GPUs with
            GRAPHRISE_CHECKED=1; else such an edge is left out, its distance is 0).
    """
    if z.dim() != 2 or not z.is_floating_point():
        raise ConfigError(f"edge_distance: z must be float [N, D], got {z.dtype} {list(z.shape)}")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ConfigError(f"edge_distance: edge_index must be [2, E], got {list(edge_index.shape)}")
    if edge_index.dtype not in INDEX_DTYPES:
        raise ConfigError(f"edge_distance: edge_index must be int32/int64, got {edge_index.dtype}")
    demand_kind("edge_distance", kind)
    backends: tuple[Backend, ...] = ("numba", "torch") if kind in COMPILED else ("torch",)
    if backend is None and edge_index.size(1) * z.size(1) <= _SMALL:
        backends = backends[::-1]
    name = choose("edge_distance", z, backends, backend)
    return _edge_distance(z, edge_index, kind, name)


@torch.library.custom_op("graphrise::edge_distance", mutates_args=())
def _edge_distance(z: Tensor, edge_index: Tensor, kind: str, backend: str) -> Tensor:
    if checked_mode(z):
        for place, end in enumerate(edge_index):
            check_index("edge_distance", f"edge_index[{place}]", end, z.size(0))
    out = z.new_zeros(edge_index.size(1), dtype=wide(z.dtype))
    u, v = edge_index.contiguous()
    if out.numel() and backend == "numba":
        from graphrise.ops.cpu.edge_distance import distances_

        distances_(out, z.contiguous(), u, v, kind)
    else:
        edge_blocks.distances_(out, z, u, v, kind)
    return out


@_edge_distance.register_fake
def _(z: Tensor, edge_index: Tensor, kind: str, backend: str) -> Tensor:
    return z.new_empty(edge_index.size(1), dtype=wide(z.dtype))


@torch.library.custom_op("graphrise::edge_distance_pull", mutates_args=())
def _pull(
    z: Tensor, edge_index: Tensor, upstream: Tensor, far: Tensor, kind: str, backend: str
) -> Tensor:
    """Gradient to z of `(upstream * far).sum()`, where `far` are the distances."""
    grad = z.new_zeros(z.shape, dtype=wide(z.dtype))
    u, v = edge_index.contiguous()
    if grad.numel() and u.numel() and backend == "numba":
        from graphrise.ops.cpu.edge_distance import pull_pairs_

        pull_pairs_(grad, z.contiguous(), u, v, upstream.contiguous(), far, kind)
    else:
        edge_blocks.pull_(grad, z, u, v, upstream, None, kind, False)
    return grad.to(z.dtype)


@_pull.register_fake
def _(
    z: Tensor, edge_index: Tensor, upstream: Tensor, far: Tensor, kind: str, backend: str
) -> Tensor:
    return z.new_empty(z.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    z, edge_index, ctx.kind, ctx.backend = inputs
    ctx.save_for_backward(z, edge_index, output)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    z, edge_index, far = ctx.saved_tensors
    return _pull(z, edge_index, grad, far, ctx.kind, ctx.backend), None, None, None


_edge_distance.register_autograd(_backward, setup_context=_setup)
