"""Distances along edges, differentiable."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrise.errors import ConfigError


def edge_distance(z: Tensor, edge_index: Tensor) -> Tensor:
    """Squared L2 distance of the two ends of every edge: `d(u, v) = |z_u - z_v|^2`.

    The default d of the edge term Omega (DESIGN section 2). Half-precision embeddings are
    subtracted and summed in float32: the difference of near neighbours cancels.

    Args:
        z: Embeddings `[N, D]`, any float dtype.
        edge_index: int32 or int64 `[2, E]`, values in `[0, N)`.

    Returns:
        `[E]`, float32 for half-precision `z`, else `z`'s dtype.

    Raises:
        ConfigError: A shape or dtype is not as above.
    """
    if z.dim() != 2 or not z.is_floating_point():
        raise ConfigError(f"edge_distance: z must be float [N, D], got {z.dtype} {list(z.shape)}")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ConfigError(f"edge_distance: edge_index must be [2, E], got {list(edge_index.shape)}")
    if edge_index.dtype not in (torch.int32, torch.int64):
        raise ConfigError(f"edge_distance: edge_index must be int32/int64, got {edge_index.dtype}")
    if z.dtype in (torch.float16, torch.bfloat16):
        z = z.float()
    source, target = edge_index
    return (z.index_select(0, source) - z.index_select(0, target)).square().sum(dim=1)
