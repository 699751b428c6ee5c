"""The plain torch truth of every op, slow and obvious; tests and benchmarks import it."""

from __future__ import annotations

import torch
from torch import Tensor


def edge_distance(z: Tensor, edge_index: Tensor) -> Tensor:
    """`|z_u - z_v|^2` of every edge, in z's own dtype: z `[N, D]`, edge_index `[2, E]` -> `[E]`."""
    return (z[edge_index[0].long()] - z[edge_index[1].long()]).pow(2).sum(dim=1)


def soft_cross_entropy(
    logits: Tensor, row: Tensor, index: Tensor, weight: Tensor, smoothing: float = 0.0
) -> Tensor:
    """`- sum_k q_k log p_k` with a dense q `[B, C]`, in the dtype of `logits` -> `[B]`."""
    q = torch.zeros_like(logits)
    q.index_put_((row, index), weight.to(logits.dtype), accumulate=True)
    labelled = torch.isin(torch.arange(logits.size(0), device=row.device), row).unsqueeze(1)
    q = (1 - smoothing) * q + labelled * smoothing / logits.size(1)
    return -(q * torch.log_softmax(logits, dim=1)).sum(dim=1)
