"""Cross-entropy against ragged soft labels."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrise.errors import ConfigError


def soft_cross_entropy(
    logits: Tensor, row: Tensor, index: Tensor, weight: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Per-image cross-entropy `- sum_k q_k log p_k` with p = softmax(logits).

    Soft multi-label targets as in the paper (L of DESIGN section 2): `q = (1 - smoothing) * q_row +
    smoothing / C`; an image without a label has loss 0. Only the few labels of a row are gathered;
    no dense target is made. Computed in float32 at least.

    Args:
        logits: `[B, C]`, any float dtype.
        row: int64 `[E]` in `[0, B)`, image of each label entry.
        index: int64 `[E]` in `[0, C)`, its label.
        weight: float `[E]`, its share; an image's shares sum to 1, or it has none.
        smoothing: Epsilon in [0, 1).

    Returns:
        `[B]` losses.

    Raises:
        ConfigError: Shapes do not fit or smoothing is out of range.
    """
    if not 0 <= smoothing < 1:
        raise ConfigError(f"soft_cross_entropy: smoothing must lie in [0, 1), got {smoothing}")
    if logits.dim() != 2 or not row.shape == index.shape == weight.shape or row.dim() != 1:
        raise ConfigError(
            f"soft_cross_entropy: logits must be [B, C] and row, index, weight [E]; got "
            f"{list(logits.shape)}, {list(row.shape)}, {list(index.shape)}, {list(weight.shape)}"
        )
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    log_p = logits.log_softmax(dim=1)
    share = log_p[row, index] * weight.to(log_p.dtype)
    loss = -log_p.new_zeros(logits.size(0)).index_add(0, row, share)
    if smoothing == 0:
        return loss
    labelled = torch.zeros_like(loss, dtype=torch.bool).index_fill(0, row.long(), True)
    even = torch.where(labelled, log_p.mean(dim=1), 0)
    return (1 - smoothing) * loss - smoothing * even
