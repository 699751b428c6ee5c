"""The edge term Omega."""

from __future__ import annotations

from torch import Tensor, nn

from graphrise.ops.edge_distance import edge_distance


class EdgeRegularizer(nn.Module):
    """Mean over the seeds of the estimated `Omega_u = sum_v v_uv |z_u - z_v|^2`.

    Acts on the embedding, not on the logits (the paper's Omega; NSL's Keras wrapper takes the
    logits). Coefficients come from the sampler, whose docstring states the two unbiased
    estimators; seeds without edges count with 0.
    """

    def forward(self, z: Tensor, edge_index: Tensor, coefficient: Tensor, num_seeds: int) -> Tensor:
        """Estimate Omega per seed.

        Args:
            z: Embeddings `[N, D]` of the batch.
            edge_index: int64 `[2, E]`, (seed, drawn neighbour), local.
            coefficient: float32 `[E]`.
            num_seeds: B, above 0.

        Returns:
            Scalar.
        """
        return (edge_distance(z, edge_index) * coefficient).sum() / num_seeds
