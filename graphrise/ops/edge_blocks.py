"""Distances along edges by plain torch, some edges at a time: the ends of all never lie there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from graphrise.ops.checks import checked_mode, inside
from graphrise.ops.dtypes import wide
from graphrise.ops.edge_kinds import distance, gradients

_BLOCK = {"cpu": 1 << 20}
"""Numbers an end has at a time: on a CPU what its caches about hold."""
_DEVICE_BLOCK = 1 << 24


def distances_(out: Tensor, z: Tensor, u: Tensor, v: Tensor, kind: str) -> None:
    """Write the distance of every pair.

    Args:
        out: `[E]`, of the wide dtype; 0.
        z: `[N, D]`.
        u: `[E]`; unchecked, pairs with an end out of `[0, N)` are left out.
        v: `[E]`, likewise.
        kind: A known one.
    """
    for block in _blocks(z, u, v):
        out[block.part] = block.kept(distance(kind, *block.ends))


def energy(z: Tensor, u: Tensor, v: Tensor, weight: Tensor | None, kind: str) -> Tensor:
    """Sum over pairs of weight and distance; arguments as above, a float64 scalar."""
    total = z.new_zeros((), dtype=torch.float64)
    for block in _blocks(z, u, v):
        far = block.kept(distance(kind, *block.ends)).double()
        total += far.sum() if weight is None else far @ weight[block.part].double()
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
        u: `[E]`, as above.
        v: `[E]`.
        weight: `[E]`; None: 1.
        scale: Scalar; None: 1.
        kind: A known one.
        symmetric: For every pair its reverse is there, with the same weight.
    """
    for block in _blocks(z, u, v):
        first, second = block.ends
        upstream = first.new_ones(first.size(0)) if weight is None else weight[block.part].to(first)
        if scale is not None:
            upstream = upstream * scale
        upstream = block.kept(upstream)
        to_u, to_v = gradients(kind, first, second, upstream)
        if symmetric:
            # What u gets as the second end of the reverse pair; it is the same unless the distance
            # has a direction.
            again = gradients(kind, second, first, upstream)[1] if kind == "kl" else to_u
            grad.index_add_(0, block.u, to_u + again)
        else:
            grad.index_add_(0, block.u, to_u)
            grad.index_add_(0, block.v, to_v)


class _Block(NamedTuple):
    """Some pairs.

    Attributes:
        part: Where among all.
        u: Rows of the first ends, within z.
        v: Rows of the second.
        ends: Those rows, wide, `[B, D]` each.
        inside: Pairs that are not left out; None: all.
    """

    part: slice
    u: Tensor
    v: Tensor
    ends: tuple[Tensor, Tensor]
    inside: Tensor | None

    def kept(self, x: Tensor) -> Tensor:
        """A number of each pair; 0 where it is left out."""
        return x if self.inside is None else torch.where(self.inside, x, 0)


def _blocks(z: Tensor, u: Tensor, v: Tensor) -> Iterator[_Block]:
    size = _BLOCK.get(z.device.type, _DEVICE_BLOCK)
    step = max(1, size // max(1, z.size(1)))
    dtype, checked = wide(z.dtype), checked_mode(z)
    for begin in range(0, u.numel() if z.size(0) else 0, step):
        part = slice(begin, begin + step)
        first, second, kept = u[part], v[part], None
        if not checked:
            kept = inside(first, z.size(0)) & inside(second, z.size(0))
            # What is left out is row 0 and itself, times 0.
            first, second = torch.where(kept, first, 0), torch.where(kept, second, 0)
        ends = z.index_select(0, first).to(dtype), z.index_select(0, second).to(dtype)
        yield _Block(part, first, second, ends, kept)
