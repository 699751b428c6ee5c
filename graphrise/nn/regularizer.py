"""The edge term Omega."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphrise.ops.edge_distance import edge_distance
from graphrise.ops.edge_kinds import Kind


class EdgeRegularizer(nn.Module):
    """Mean over the seeds of the estimated `Omega_u = sum_v v_uv d(z_u, z_v)`.

    Acts on the embedding, not on the logits (the paper's Omega; NSL's Keras wrapper takes the
    logits), unless it is given something else. Coefficients come from the sampler, whose docstring
    states the two unbiased estimators; seeds without edges count with 0.

    Attributes:
        kind: The distance d (`ops.edge_kinds.Kind`).
    """

    def __init__(self, kind: Kind = "squared_l2") -> None:
        """Measure by a distance of that kind."""
        super().__init__()
        self.kind: Kind = kind

    def forward(self, z: Tensor, edge_index: Tensor, coefficient: Tensor, num_seeds: int) -> Tensor:
        """Estimate Omega per seed.

        Args:
            z: Embeddings `[N, D]` of the batch.
            edge_index: int64 `[2, E]`, (seed, drawn neighbour), local.
            coefficient: float32 `[E]`.
            num_seeds: B, above 0.

        Returns:
            Scalar.

        Raises:
            ConfigError: There is no such kind of distance.
        """
        return (self.distances(z, edge_index) * coefficient).sum() / num_seeds

    def distances(self, z: Tensor, edge_index: Tensor) -> Tensor:
        """Distance of every edge, `[E]`; arguments and errors as above."""
        return edge_distance(z, edge_index, self.kind)

    def extra_repr(self) -> str:
        """The kind."""
        return self.kind


@torch.no_grad()
def edge_gate(z: Tensor, edge_index: Tensor, power: float) -> Tensor:
    """`max(0, cos(z_u, z_v)) ** power` of every edge: near 1 where the ends agree, 0 where not.

    A factor on edges of a graph that has wrong ones. Without gradient: else embeddings would learn
    to turn edges off. The cosine of a row of zeros is 0.

    Args:
        z: Embeddings `[N, D]`.
        edge_index: int64 `[2, E]`, values in `[0, N)`.
        power: Above 0.

    Returns:
        `[E]`, float32 for half-precision `z`, else `z`'s dtype.
    """
    return (1 - edge_distance(z, edge_index, "cosine")).clamp(min=0) ** power
