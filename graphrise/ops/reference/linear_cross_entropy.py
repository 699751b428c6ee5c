"""Cross-entropy over all rows of a table, with all logits in memory."""

from __future__ import annotations

from torch import Tensor

from graphrise.ops.reference.cross_entropy import soft_cross_entropy


def linear_cross_entropy(
    z: Tensor,
    weight: Tensor,
    row: Tensor,
    index: Tensor,
    share: Tensor,
    *,
    bias: Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """`- sum_k q_k log p_k` with p = softmax(z weight^T + bias), in the dtype of `z` -> `[B]`."""
    logits = z @ weight.T
    if bias is not None:
        logits = logits + bias
    return soft_cross_entropy(logits, row.long(), index.long(), share, smoothing)
