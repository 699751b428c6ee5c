"""Distances along edges by plain torch, some edges at a time: the ends of all never lie there."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from graphrise.ops.dtypes import wide
from graphrise.ops.edge_kinds import distance, gradients

_BLOCK = {"cpu": 1 << 20}
"""Numbers an end has at a time: on a CPU what its caches about hold."""
_DEVICE_BLOCK = 1 << 24


def distances_(out: Tensor, z: Tensor, u: Tensor, v: Tensor, kind: str) -> None:
    """Write the distance of every pair.

    Args:
        out: `[E]`, of the wide dtype.
        z: `[N, D]`.
        u: `[E]` in `[0, N)`.
        v: `[E]` in `[0, N)`.
        kind: A known one.
    """
    for part, *ends in _blocks(z, u, v):
        out[part] = distance(kind, *ends)


def energy(z: Tensor, u: Tensor, v: Tensor, weight: Tensor | None, kind: str) -> Tensor:
    """Sum over pairs of weight and distance; arguments as above, a float64 scalar."""
    total = z.new_zeros((), dtype=torch.float64)
    for part, *ends in _blocks(z, u, v):
        far = distance(kind, *ends).double()
        total += far.sum() if weight is None else far @ weight[part].double()
    return total


def pull_(
    grad: Tensor,
    z: Tensor,
    u: Tensor,
    v: Tensor,
    weight: Tensor | None,
    scale: Tensor | None,
    kind: str,
    symmetric: bool,
) -> None:
    """Add the gradient to z of `(scale * weight * distance).sum()`.

    Args:
        grad: `[N, D]`, of the wide dtype.
        z: `[N, D]`.
        u: `[E]` in `[0, N)`.
        v: `[E]` in `[0, N)`.
        weight: `[E]`; None: 1.
        scale: Scalar; None: 1.
        kind: A known one.
        symmetric: For every pair its reverse is there, with the same weight.
    """
    for part, *ends in _blocks(z, u, v):
        first, second = ends
        upstream = first.new_ones(first.size(0)) if weight is None else weight[part].to(first)
        if scale is not None:
            upstream = upstream * scale
        to_u, to_v = gradients(kind, first, second, upstream)
        if symmetric:
            # What u gets as the second end of the reverse pair; it is the same unless the distance
            # has a direction.
            again = gradients(kind, second, first, upstream)[1] if kind == "kl" else to_u
            grad.index_add_(0, u[part], to_u + again)
        else:
            grad.index_add_(0, u[part], to_u)
            grad.index_add_(0, v[part], to_v)


def _blocks(z: Tensor, u: Tensor, v: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    size = _BLOCK.get(z.device.type, _DEVICE_BLOCK)
    step = max(1, size // max(1, z.size(1)))
    dtype = wide(z.dtype)
    for begin in range(0, u.numel(), step):
        part = slice(begin, begin + step)
        yield part, z.index_select(0, u[part]).to(dtype), z.index_select(0, v[part]).to(dtype)
