"""Rows scattered by plain torch, in blocks: halves as float32 without a copy of them all."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from graphrise.ops.checks import checked_mode, inside
from graphrise.ops.dtypes import wide

BLOCK = 1 << 22
"""Numbers made wide at a time: 16 MiB of float32."""


def blocks(src: Tensor) -> Iterator[slice]:
    """Ranges of the rows of `[E, D]` that are taken at a time."""
    step = max(1, BLOCK // max(1, src.size(1)))
    return (slice(begin, begin + step) for begin in range(0, src.size(0), step))


def add_(out: Tensor, src: Tensor, row: Tensor, deterministic: bool) -> None:
    """Add row e of `src` to row `row[e]` of `out`.

    Args:
        out: `[N, D]`.
        src: `[E, D]`.
        row: int32 or int64 `[E]`; unchecked, entries out of `[0, N)` are left out.
        deterministic: On a GPU too, where it takes a sort.
    """
    total = out if out.dtype == wide(src.dtype) else out.to(wide(src.dtype))
    if not checked_mode(src):
        total, row = _and_one(total), torch.where(inside(row, out.size(0)), row, out.size(0))
    for part in blocks(src):
        add_block_(total, src[part].to(total.dtype), row[part], deterministic)
    if total is not out:
        out.copy_(total[: out.size(0)])


def add_block_(out: Tensor, src: Tensor, row: Tensor, deterministic: bool) -> None:
    """`add_` of as much as is taken at a time: src has out's dtype, rows are in range."""
    if deterministic and out.is_cuda:
        out.index_put_((row.long(),), src, accumulate=True)
    else:
        out.index_add_(0, row, src)


def extreme_(out: Tensor, arg: Tensor, src: Tensor, row: Tensor, largest: bool) -> None:
    """Write the largest or smallest numbers and the first entry each is of.

    Args:
        out: `[N, D]` of src's dtype.
        arg: int64 `[N, D]`; E where no entry is, `out` is 0 there.
        src: `[E, D]`.
        row: int32 or int64 `[E]`; unchecked, entries out of `[0, N)` are left out.
        largest: False: smallest. NaN is either.
    """
    row = row.long()
    if checked_mode(src):
        _extreme_(out, arg, src, row, largest)
        return
    row = torch.where(inside(row, out.size(0)), row, out.size(0))
    more = _and_one(out), _and_one(arg)
    _extreme_(*more, src, row, largest)
    out.copy_(more[0][:-1])
    arg.copy_(more[1][:-1])


def _extreme_(out: Tensor, arg: Tensor, src: Tensor, row: Tensor, largest: bool) -> None:
    entries = src.size(0)
    out.fill_(-torch.inf if largest else torch.inf)
    arg.fill_(entries)
    for part in blocks(src):
        to = row[part].unsqueeze(1).expand_as(src[part])
        out.scatter_reduce_(0, to, src[part], "amax" if largest else "amin")
    entry = torch.arange(entries, device=src.device).unsqueeze(1)
    for part in blocks(src):
        best = out.index_select(0, row[part])
        found = (src[part] == best) | (src[part].isnan() & best.isnan())
        to = row[part].unsqueeze(1).expand_as(best)
        arg.scatter_reduce_(0, to, torch.where(found, entry[part], entries), "amin")
    out.masked_fill_(arg == entries, 0)


def _and_one(x: Tensor) -> Tensor:
    """A copy with a row too many, for what is left out."""
    return torch.cat((x, x.new_zeros(1, x.size(1))))
