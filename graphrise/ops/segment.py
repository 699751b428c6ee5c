"""Reductions and softmax of sorted segments: those of one row lie side by side (CSR)."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

from graphrise.errors import ConfigError
from graphrise.ops import segment_softmax as softmax
from graphrise.ops.backend import Backend, choose
from graphrise.ops.checks import demand_index
from graphrise.ops.csr import row_lengths
from graphrise.ops.segment_extreme import segment_extreme
from graphrise.ops.segment_sum import BACKENDS, segment_sum

Reduce = Literal["sum", "mean", "max", "min"]
REDUCTIONS = ("sum", "mean", "max", "min")


def segment_reduce(
    src: Tensor, rowptr: Tensor, reduce: Reduce = "sum", *, backend: Backend | None = None
) -> Tensor:
    """Sum, mean, maximum or minimum of each segment: `out_i` over `src[rowptr[i]:rowptr[i + 1]]`.

    Deterministic, gradients too; that of an extreme goes to its first entry alone. Half precision
    is summed in float32. NaN is an extreme wherever it stands. Long segments are summed by several
    programs on a GPU, extremes and softmax take one for each.

    Args:
        src: `[E, ...]`, any float dtype.
        rowptr: int32 or int64 `[N + 1]`.
        reduce: What is done.
        backend: Force one; None: `GRAPHRISE_BACKEND` or the best for device and dtype.

    Returns:
        `[N, ...]` of src's dtype; 0 for an empty segment.

    Raises:
        ConfigError: A shape, dtype or reduction is not as above, or the backend cannot run here.
        DataError: rowptr does not run from 0 to E or falls (looked for on CPUs, and on GPUs with
            GRAPHRISE_CHECKED=1; else entries of no segment are left out).
    """
    if reduce not in REDUCTIONS:
        raise ConfigError(f"segment_reduce: {reduce!r} is none of {', '.join(REDUCTIONS)}")
    if reduce == "max" or reduce == "min":
        return _extreme("segment_reduce", src, rowptr, reduce == "max", backend)[0]
    flat = _flat("segment_reduce", src, rowptr)
    name = choose("segment_reduce", src, BACKENDS, backend)
    total = segment_sum(flat, rowptr, reduce == "mean", name)
    if reduce == "mean":
        count = row_lengths(rowptr, src.size(0)).clamp(min=1).to(total.dtype)
        total = (total / count.unsqueeze(1)).to(src.dtype)
    return total.reshape(rowptr.numel() - 1, *src.shape[1:])


def segment_max(
    src: Tensor, rowptr: Tensor, *, backend: Backend | None = None
) -> tuple[Tensor, Tensor]:
    """Maximum of each segment and where it is; arguments and errors as of `segment_reduce`.

    Returns:
        `[N, ...]` of src's dtype, and int64 `[N, ...]`, the first entry that has it; 0 and E for an
        empty segment.
    """
    return _extreme("segment_max", src, rowptr, True, backend)


def segment_min(
    src: Tensor, rowptr: Tensor, *, backend: Backend | None = None
) -> tuple[Tensor, Tensor]:
    """Minimum of each segment and where it is; the rest as of `segment_max`."""
    return _extreme("segment_min", src, rowptr, False, backend)


def segment_softmax(src: Tensor, rowptr: Tensor, *, backend: Backend | None = None) -> Tensor:
    """Softmax over the entries of each segment, each trailing place for itself.

    The largest is taken off first, so nothing overflows; half precision is computed in float32.

    Returns:
        Shape and dtype of src; the rest as of `segment_reduce`.
    """
    flat = _flat("segment_softmax", src, rowptr)
    name = choose("segment_softmax", src, softmax.BACKENDS, backend)
    return softmax.segment_softmax(flat, rowptr, name).reshape(src.shape)


def _extreme(
    op: str, src: Tensor, rowptr: Tensor, largest: bool, backend: Backend | None
) -> tuple[Tensor, Tensor]:
    flat = _flat(op, src, rowptr)
    value, arg = segment_extreme(flat, rowptr, largest, choose(op, src, BACKENDS, backend))
    shape = (rowptr.numel() - 1, *src.shape[1:])
    return value.reshape(shape), arg.reshape(shape)


def _flat(op: str, src: Tensor, rowptr: Tensor) -> Tensor:
    """`[E, D]`, the trailing dimensions as one."""
    if src.dim() == 0 or not src.is_floating_point():
        raise ConfigError(f"{op}: src must be float [E, ...], got {src.dtype} {list(src.shape)}")
    demand_index(op, "rowptr", rowptr)
    if not rowptr.numel():
        raise ConfigError(f"{op}: rowptr must be [N + 1], got no entry")
    return src.reshape(src.size(0), math.prod(src.shape[1:]))
