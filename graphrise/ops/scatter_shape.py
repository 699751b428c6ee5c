"""The shapes of a scatter as its users give them, and as rows."""

from __future__ import annotations

import dataclasses
import math

from torch import Tensor

from graphrise.errors import ConfigError
from graphrise.ops.checks import INDEX_DTYPES


@dataclasses.dataclass(frozen=True)
class Flat:
    """A scatter along the first of two dimensions.

    Attributes:
        src: `[E, D]`.
        index: `[E]`, or `[E, D]` where each number has its own.
        rows: Of the result.
        dim: Where the rows were, from 0 on.
        rest: Sizes of the other dimensions, in order.
    """

    src: Tensor
    index: Tensor
    rows: int
    dim: int
    rest: tuple[int, ...]

    def whole(self, flat: Tensor) -> Tensor:
        """`[N, D]` of any N in the shape that src came in, contiguous."""
        return flat.reshape(flat.size(0), *self.rest).movedim(0, self.dim).contiguous()


def flatten(
    op: str, src: Tensor, index: Tensor, dim: int, out: Tensor | None, dim_size: int | None
) -> Flat:
    """Look at the arguments of `scatter.scatter` and bring them to two dimensions.

    Raises:
        ConfigError: A shape or dtype is not as said there.
    """
    if not src.is_floating_point() or src.dim() == 0:
        raise ConfigError(f"{op}: src must be float [...], got {src.dtype} {list(src.shape)}")
    if not -src.dim() <= dim < src.dim():
        raise ConfigError(f"{op}: src has {src.dim()} dimension(s), there is no dim {dim}")
    dim %= src.dim()
    front = src.movedim(dim, 0)
    rows, rest = _rows(op, src, index, dim, out, dim_size), tuple(front.shape[1:])
    flat = front.reshape(src.size(dim), math.prod(rest))
    place = _broadcast(op, src, index, dim)
    if place.dim() > 1:
        place = place.reshape(flat.shape)
    return Flat(flat, place, rows, dim, rest)


def _rows(
    op: str, src: Tensor, index: Tensor, dim: int, out: Tensor | None, dim_size: int | None
) -> int:
    if index.dtype not in INDEX_DTYPES:
        raise ConfigError(f"{op}: index must be int32 or int64, got {index.dtype}")
    if out is not None:
        fits = list(src.shape)
        fits[dim] = out.size(dim) if out.dim() == src.dim() else -1
        if list(out.shape) != fits or out.dtype != src.dtype:
            raise ConfigError(
                f"{op}: out must be src's {src.dtype} {list(src.shape)} but for its size at dim "
                f"{dim}, got {out.dtype} {list(out.shape)}"
            )
        return fits[dim]
    if dim_size is not None:
        if dim_size < 0:
            raise ConfigError(f"{op}: dim_size must be 0 or more, got {dim_size}")
        return dim_size
    return int(index.max()) + 1 if index.numel() else 0


def _broadcast(op: str, src: Tensor, index: Tensor, dim: int) -> Tensor:
    """`[E]` where all numbers of a place along `dim` have one index, else src's with dim first."""
    shape = tuple(index.shape)
    if index.dim() == 1:
        index = index.reshape(*[1] * dim, -1)
    index = index.reshape(*index.shape, *[1] * (src.dim() - index.dim()))
    try:
        index = index.expand(src.shape).movedim(dim, 0)
    except RuntimeError:
        raise ConfigError(
            f"{op}: index {list(shape)} does not go with src {list(src.shape)} along dim {dim}"
        ) from None
    others = zip(index.shape[1:], index.stride()[1:], strict=True)
    if 0 in index.shape[1:] or not all(size == 1 or stride == 0 for size, stride in others):
        return index
    return index[(slice(None), *[0] * (index.dim() - 1))]
