"""Row-wise RMSprop over a whole table."""

from __future__ import annotations

import torch
from torch import Tensor


def rowwise_rmsprop(
    table: Tensor,
    state: Tensor,
    gradient: Tensor,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """A step over every row of a table and its state: `[C, D]`, `[C]`, `[C, D]` -> the new two."""
    square = gradient.pow(2).mean(dim=1)
    state = torch.where(state == 0, square, alpha * state + (1 - alpha) * square)
    step = gradient / (state.sqrt() + eps)[:, None]
    return table - lr * (step + weight_decay * table), state
