"""Neighbours' rows, all of them in memory at once."""

from __future__ import annotations

import torch
from torch import Tensor


def neighbor_sum(z: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor | None = None) -> Tensor:
    """`out_i = sum_e weight_e z[col_e]`, in z's own dtype -> `[N, D]`."""
    row = torch.repeat_interleave(torch.arange(rowptr.numel() - 1), rowptr.diff().long())
    message = z[col.long()] if weight is None else z[col.long()] * weight[:, None]
    return z.new_zeros(rowptr.numel() - 1, z.size(1)).index_add(0, row.to(z.device), message)
