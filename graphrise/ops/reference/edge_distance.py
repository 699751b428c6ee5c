"""Distances along edges, both ends of all of them in memory at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def edge_distance(z: Tensor, edge_index: Tensor, kind: str = "squared_l2") -> Tensor:
    """Distance of every edge's ends, in z's own dtype: z `[N, D]`, edge_index `[2, E]` -> `[E]`."""
    u, v = z[edge_index[0].long()], z[edge_index[1].long()]
    if kind == "squared_l2":
        return (u - v).pow(2).sum(dim=1)
    if kind == "l2":
        return torch.linalg.vector_norm(u - v, dim=1)
    if kind == "l1":
        return (u - v).abs().sum(dim=1)
    if kind == "cosine":
        return 1 - functional.cosine_similarity(u, v, dim=1, eps=1e-12)
    p, q = u.softmax(dim=1), v.softmax(dim=1)
    if kind == "kl":
        return _kl(p, q)
    middle = (p + q) / 2
    return (_kl(p, middle) + _kl(q, middle)) / 2


def edge_energy(
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None = None,
    kind: str = "squared_l2",
) -> Tensor:
    """`sum_e weight_e d(z[row_e], z[col_e])`, in z's own dtype -> scalar."""
    row = torch.repeat_interleave(torch.arange(rowptr.numel() - 1), rowptr.diff().long())
    far = edge_distance(z, torch.stack((row, col.long())), kind)
    return far.sum() if weight is None else (weight * far).sum()


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum(dim=1)
