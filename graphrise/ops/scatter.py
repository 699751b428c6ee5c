"""Reductions over an index in any order, called as torch-scatter's are."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from graphrise.errors import ConfigError
from graphrise.ops.backend import Backend, choose
from graphrise.ops.checks import checked_mode, inside
from graphrise.ops.dtypes import wide
from graphrise.ops.scatter_extreme import scatter_extreme
from graphrise.ops.scatter_index import as_rows, by_row, check
from graphrise.ops.scatter_shape import Flat, flatten
from graphrise.ops.scatter_softmax import scatter_softmax as softmax
from graphrise.ops.scatter_sum import backends
from graphrise.ops.scatter_sum import scatter_sum as sums
from graphrise.ops.segment_softmax import BACKENDS as SOFTMAX_BACKENDS
from graphrise.ops.segment_sum import BACKENDS


def scatter(
    src: Tensor,
    index: Tensor,
    dim: int = -1,
    out: Tensor | None = None,
    dim_size: int | None = None,
    reduce: str = "sum",
    *,
    deterministic: bool | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """Reduce what has an index in common, along one dimension of src.

    On CPUs, and for extremes, equal input gives equal bits; sums and products on GPUs do only where
    `deterministic`, which takes a sort. Half precision is summed in float32. Gradients flow to src
    and out; that of an extreme goes to its first entry alone.

    Args:
        src: Any shape, any float dtype.
        index: int32 or int64, of src's shape, of its first dimensions, or one-dimensional along
            `dim`; in `[0, size of the result along dim)`.
        dim: Dimension that is reduced.
        out: Reduced into, in place, and returned; None: a new tensor.
        dim_size: Size of a new result along `dim`; None: one more than the largest index, for
            which a GPU is waited for.
        reduce: "sum" or "add", "mean", "mul", "max", "min".
        deterministic: None: `torch.are_deterministic_algorithms_enabled()`.
        backend: Force one; None: `GRAPHRISE_BACKEND` or the best for device and dtype.

    Returns:
        src's shape with the result's size at `dim`. Where no entry is: what `out` had, else 0, and
        1 of "mul".

    Raises:
        ConfigError: A shape, dtype or reduction is not as above, or the backend cannot run here.
        DataError: An index is out of range (looked for on CPUs, and on GPUs with
            GRAPHRISE_CHECKED=1; else such entries are left out).
    """
    if reduce == "max":
        return scatter_max(src, index, dim, out, dim_size, backend=backend)[0]
    if reduce == "min":
        return scatter_min(src, index, dim, out, dim_size, backend=backend)[0]
    ops = {"sum": scatter_sum, "add": scatter_sum, "mean": scatter_mean, "mul": scatter_mul}
    if reduce not in ops:
        raise ConfigError(f"scatter: {reduce!r} is none of {', '.join((*ops, 'max', 'min'))}")
    op = ops[reduce]
    return op(src, index, dim, out, dim_size, deterministic=deterministic, backend=backend)


def scatter_sum(
    src: Tensor,
    index: Tensor,
    dim: int = -1,
    out: Tensor | None = None,
    dim_size: int | None = None,
    *,
    deterministic: bool | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """`scatter(..., reduce="sum")`."""
    flat = flatten("scatter_sum", src, index, dim, out, dim_size)
    name = choose("scatter_sum", src, backends(flat.src.size(1)), backend)
    sort = _deterministic(deterministic)
    total = sums(flat.src, flat.index, flat.rows, out is not None, sort, name)
    return flat.whole(total) if out is None else out.add_(flat.whole(total))


scatter_add = scatter_sum


def scatter_mean(
    src: Tensor,
    index: Tensor,
    dim: int = -1,
    out: Tensor | None = None,
    dim_size: int | None = None,
    *,
    deterministic: bool | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """`scatter(..., reduce="mean")`; what `out` had is one of the summands, but not counted."""
    flat = flatten("scatter_mean", src, index, dim, out, dim_size)
    name = choose("scatter_mean", src, backends(flat.src.size(1)), backend)
    total = sums(flat.src, flat.index, flat.rows, True, _deterministic(deterministic), name)
    # Counted in float64, which adds up to 2^53; float32 stands still at 2^24.
    width = 1 if flat.index.dim() == 1 else flat.src.size(1)
    one = flat.src.new_ones(flat.src.size(0), width, dtype=torch.float64)
    counting = choose("scatter_mean", one, backends(1), backend)
    count = sums(one, flat.index, flat.rows, True, False, counting)
    count = count.clamp_(min=1).to(total.dtype)
    if out is None:
        return flat.whole((total / count).to(src.dtype))
    return out.add_(flat.whole(total)).div_(flat.whole(count.expand_as(total)))


def scatter_mul(
    src: Tensor,
    index: Tensor,
    dim: int = -1,
    out: Tensor | None = None,
    dim_size: int | None = None,
    *,
    deterministic: bool | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """`scatter(..., reduce="mul")`, by torch alone; gradients are right beside zeros too."""
    flat = flatten("scatter_mul", src, index, dim, out, dim_size)
    choose("scatter_mul", src, ("torch",), backend)
    _check("scatter_mul", flat)
    rows, index, size = flat.src.to(wide(src.dtype)), flat.index, flat.rows
    width = rows.size(1)
    if not checked_mode(rows):
        # What is left out is a 1 of a row too many, so its gradient is 0 whatever it was.
        there = inside(index, size)
        rows = rows.masked_fill(~(there if there.dim() == 2 else there.unsqueeze(1)), 1)
        index, size = torch.where(there, index, size), size + 1
    if _deterministic(deterministic) and rows.numel():
        rows, place, places = as_rows(rows, index, size)
        start, order = by_row(place, places)
        rows = rows.index_select(0, order)
        product = torch.segment_reduce(
            rows, "prod", offsets=start, axis=0, unsafe=True, initial=1
        ).reshape(size, width)
    else:
        place = index if index.dim() == 2 else index.unsqueeze(1)
        product = rows.new_ones(size, width)
        product = product.scatter_reduce(0, place.long().expand_as(rows), rows, "prod")
    product = product[: flat.rows]
    return flat.whole(product.to(src.dtype)) if out is None else out.mul_(flat.whole(product))


def scatter_max(
    src: Tensor,
    index: Tensor,
    dim: int = -1,
    out: Tensor | None = None,
    dim_size: int | None = None,
    *,
    backend: Backend | None = None,
) -> tuple[Tensor, Tensor]:
    """`scatter(..., reduce="max")` and where each maximum is.

    Returns:
        The maxima, and int64 of their shape, the first place along `dim` that has it; the size of
        src along `dim` where no entry is, and where `out` had more.
    """
    return _extreme("scatter_max", src, index, dim, out, dim_size, backend)


def scatter_min(
    src: Tensor,
    index: Tensor,
    dim: int = -1,
    out: Tensor | None = None,
    dim_size: int | None = None,
    *,
    backend: Backend | None = None,
) -> tuple[Tensor, Tensor]:
    """`scatter(..., reduce="min")` and where each minimum is; the rest as of `scatter_max`."""
    return _extreme("scatter_min", src, index, dim, out, dim_size, backend)


def scatter_softmax(
    src: Tensor,
    index: Tensor,
    dim: int = -1,
    dim_size: int | None = None,
    *,
    backend: Backend | None = None,
) -> Tensor:
    """Softmax over what has an index in common; shape of src, deterministic, computed stably.

    Arguments and errors as of `scatter`; of an index out of range that was not looked for, the
    result is 0.
    """
    return _softmax("scatter_softmax", src, index, dim, dim_size, False, backend)


def scatter_log_softmax(
    src: Tensor,
    index: Tensor,
    dim: int = -1,
    dim_size: int | None = None,
    *,
    backend: Backend | None = None,
) -> Tensor:
    """Logarithm of `scatter_softmax`; undefined of an index that was not looked for."""
    return _softmax("scatter_log_softmax", src, index, dim, dim_size, True, backend)


def _extreme(
    op: Literal["scatter_max", "scatter_min"],
    src: Tensor,
    index: Tensor,
    dim: int,
    out: Tensor | None,
    dim_size: int | None,
    backend: Backend | None,
) -> tuple[Tensor, Tensor]:
    flat = flatten(op, src, index, dim, out, dim_size)
    largest, name = op == "scatter_max", choose(op, src, BACKENDS, backend)
    value, arg = scatter_extreme(flat.src, flat.index, flat.rows, largest, name)
    value, arg = flat.whole(value), flat.whole(arg)
    if out is None:
        return value, arg
    none = src.size(dim)
    beyond = value > out if largest else value < out
    taken = (arg < none) & (beyond | (value.isnan() & ~out.isnan()))
    return out.copy_(torch.where(taken, value, out)), torch.where(taken, arg, none)


def _softmax(
    op: str,
    src: Tensor,
    index: Tensor,
    dim: int,
    dim_size: int | None,
    log: bool,
    backend: Backend | None,
) -> Tensor:
    flat = flatten(op, src, index, dim, None, dim_size)
    name = choose(op, src, SOFTMAX_BACKENDS, backend)
    _check(op, flat)
    return flat.whole(softmax(flat.src, flat.index, flat.rows, log, name))


def _check(op: str, flat: Flat) -> None:
    """For what is composed of torch's operations; the others look while they run."""
    if not torch.compiler.is_compiling():
        check(op, flat.src, flat.index, flat.rows)


def _deterministic(asked: bool | None) -> bool:
    return torch.are_deterministic_algorithms_enabled() if asked is None else asked
