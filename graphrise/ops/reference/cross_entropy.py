"""Cross-entropy over all labels and over a sample of them."""

from __future__ import annotations

import torch
from torch import Tensor


def soft_cross_entropy(
    logits: Tensor, row: Tensor, index: Tensor, weight: Tensor, smoothing: float = 0.0
) -> Tensor:
    """`- sum_k q_k log p_k` with a dense q `[B, C]`, in the dtype of `logits` -> `[B]`."""
    q = torch.zeros_like(logits)
    q.index_put_((row, index), weight.to(logits.dtype), accumulate=True)
    labelled = torch.isin(torch.arange(logits.size(0), device=row.device), row).unsqueeze(1)
    q = (1 - smoothing) * q + labelled.to(q.dtype) * smoothing / q.size(1)
    return -(q * torch.log_softmax(logits, dim=1)).sum(dim=1)


def sampled_cross_entropy(
    logits: Tensor,
    own: Tensor,
    row: Tensor,
    column: Tensor,
    weight: Tensor,
    count: Tensor,
    *,
    smoothing: float = 0.0,
    num_labels: int = 1,
) -> Tensor:
    """One image and one label after the other, in the dtype of `logits` -> `[B]`."""
    losses = []
    for image, scores in enumerate(logits):
        entries = torch.nonzero(row == image).ravel().tolist()
        if not entries:
            losses.append(logits.new_zeros(()))
            continue
        score, times = list(scores), list(count)
        share = [smoothing * c / num_labels for c in count]
        for e in entries:
            c = int(column[e])
            score[c], times[c] = own[e], torch.ones_like(own[e])
            share[c] = (1 - smoothing) * weight[e] + smoothing / num_labels
        z = torch.stack([t * s.exp() for t, s in zip(times, score, strict=True)]).sum()
        loss = z.log() - torch.stack([q * s for q, s in zip(share, score, strict=True)]).sum()
        losses.append(loss)
    return torch.stack(losses) if losses else logits.new_zeros(0)
