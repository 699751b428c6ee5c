"""Scatters along a dimension, by torch's own operations and, for extremes, a number at a time."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def scatter(src: Tensor, index: Tensor, dim: int, size: int, reduce: str) -> Tensor:
    """Sum, mean or mul of numbers with one index, in src's own dtype; index has src's shape."""
    shape = [*src.shape]
    shape[dim] = size
    if reduce == "mul":
        return src.new_ones(shape).scatter_reduce(dim, index, src, "prod")
    total = src.new_zeros(shape).scatter_add(dim, index, src)
    if reduce == "sum":
        return total
    count = src.new_zeros(shape).scatter_add(dim, index, torch.ones_like(src))
    return total / count.clamp(min=1)


def scatter_extreme(
    src: Tensor, index: Tensor, dim: int, size: int, largest: bool
) -> tuple[Tensor, Tensor]:
    """Maximum or minimum and the first place along `dim` that has it; 0 and E if there is none."""
    shape = [*src.shape]
    shape[dim] = size
    out, arg = src.new_zeros(shape), torch.full(shape, src.size(dim))
    for place in itertools.product(*map(range, src.shape)):
        to = list(place)
        to[dim] = int(index[place])
        x, best = float(src[place]), float(out[tuple(to)])
        beyond = x > best if largest else x < best
        if arg[tuple(to)] == src.size(dim) or beyond or (x != x and best == best):
            out[tuple(to)], arg[tuple(to)] = src[place], place[dim]
    return out, arg
