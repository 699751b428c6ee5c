"""The labels of the largest logits, of which only a part is held at a time."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def best_of(parts: Iterable[tuple[int, Tensor]], k: int, none: Tensor) -> tuple[Tensor, Tensor]:
    """The k largest logits over parts of the labels.

    Args:
        parts: The first label of each, and logits `[B, n]` of n labels from it on.
        k: At least 1; fewer are found where there are fewer labels.
        none: `[B, 0]`, the logits of no part: says their dtype and device.

    Returns:
        Logits `[B, k]`, falling, and labels int64 `[B, k]`.
    """
    best, label = none, torch.empty(none.shape, dtype=torch.long, device=none.device)
    for first, logits in parts:
        every = torch.arange(first, first + logits.size(1), device=none.device)
        every = every.expand_as(logits)
        joined, names = torch.cat((best, logits), 1), torch.cat((label, every), 1)
        best, at = joined.topk(min(k, joined.size(1)), dim=1)
        label = names.gather(1, at)
    return best, label
