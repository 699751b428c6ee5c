"""Segments, one after the other."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def segment_reduce(src: Tensor, rowptr: Tensor, reduce: str = "sum") -> Tensor:
    """Sum, mean, max or min of `src[rowptr[i]:rowptr[i + 1]]`, in src's own dtype; 0 if empty."""
    if reduce in ("max", "min"):
        return segment_extreme(src, rowptr, reduce == "max")[0]
    count = rowptr.diff().long()
    row = torch.repeat_interleave(torch.arange(count.numel()), count).to(src.device)
    total = src.new_zeros(count.numel(), *src.shape[1:]).index_add(0, row, src)
    if reduce == "sum":
        return total
    return total / count.clamp(min=1).to(src).reshape(-1, *[1] * (src.dim() - 1))


def segment_extreme(src: Tensor, rowptr: Tensor, largest: bool) -> tuple[Tensor, Tensor]:
    """Maximum or minimum and the first entry that has it; 0 and E if empty."""
    bounds, shape = rowptr.tolist(), src.shape[1:]
    values, args = [src.new_zeros(0, *shape)], [torch.zeros(0, *shape, dtype=torch.int64)]
    for begin, end in itertools.pairwise(bounds):
        if begin == end:
            values.append(src.new_zeros(1, *shape))
            args.append(torch.full((1, *shape), src.size(0)))
            continue
        part = src[begin:end]
        best = part.amax(0, keepdim=True) if largest else part.amin(0, keepdim=True)
        has = (part == best) | (part.isnan() & best.isnan())
        arg = has.long().argmax(0, keepdim=True)  # torch says: the first of equal ones
        values.append(part.gather(0, arg))
        args.append(arg + begin)
    return torch.cat(values), torch.cat(args)


def segment_softmax(src: Tensor, rowptr: Tensor) -> Tensor:
    """`torch.softmax` of each segment."""
    parts = src.split(rowptr.diff().tolist())
    return torch.cat([src[:0], *(torch.softmax(part, dim=0) for part in parts)])
