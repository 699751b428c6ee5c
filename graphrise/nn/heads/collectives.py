"""What ranks tell each other: rows of all ranks, and sums over ranks, with their gradients.

With one process, or without a process group, every function gives back what it got.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> tuple[int, int]:
    """This process's rank and how many there are: `(0, 1)` without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def gather_rows(x: Tensor, sizes: list[int]) -> Tensor:
    """The rows of all ranks, in the order of ranks; no gradient flows back.

    Args:
        x: `[n, ...]`, contiguous or not; dtype and further dimensions as on the other ranks.
        sizes: n of each rank, 0 too.

    Returns:
        `[sum(sizes), ...]`.
    """
    most = max(sizes)
    if len(sizes) == 1 or most == 0:
        return x.detach()
    padded = x.new_zeros(most, *x.shape[1:])
    padded[: x.size(0)] = x.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def gather_embeddings(z: Tensor, sizes: list[int]) -> Tensor:
    """As `gather_rows`; the gradient of a row goes back to the rank it came from.

    Every rank must have a part of one loss that is the same on all of them: the backward pass adds
    up the parts. It multiplies by the number of ranks, since DistributedDataParallel then averages
    the gradients of the encoder over the ranks: what is left is the gradient of the loss.
    """
    if len(sizes) == 1:
        return z
    gathered: Tensor = _GatherEmbeddings.apply(z, sizes)  # type: ignore[assignment]
    return gathered


def add_up(x: Tensor) -> Tensor:
    """Sum over the ranks, of one shape on all.

    Every rank must go on to compute the same loss from it: the gradient of a rank's part is then
    that of the sum, which each of them has already.
    """
    if world()[1] == 1:
        return x
    total: Tensor = _AddUp.apply(x)  # type: ignore[assignment]
    return total


def largest(x: Tensor) -> Tensor:
    """Maximum over the ranks, of one shape on all; without gradient."""
    x = x.detach().clone()
    if world()[1] > 1:
        dist.all_reduce(x, dist.ReduceOp.MAX)
    return x


class _GatherEmbeddings(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        return gather_rows(z, sizes)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        rank, size = world()
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return size * total.split(ctx.sizes)[rank], None


class _AddUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]
