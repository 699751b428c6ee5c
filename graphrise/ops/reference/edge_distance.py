"""Distances along edges."""

from __future__ import annotations

from torch import Tensor


def edge_distance(z: Tensor, edge_index: Tensor) -> Tensor:
    """`|z_u - z_v|^2` of every edge, in z's own dtype: z `[N, D]`, edge_index `[2, E]` -> `[E]`."""
    return (z[edge_index[0].long()] - z[edge_index[1].long()]).pow(2).sum(dim=1)
