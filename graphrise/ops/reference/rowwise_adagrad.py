"""Row-wise Adagrad over a whole table."""

from __future__ import annotations

from torch import Tensor


def rowwise_adagrad(
    table: Tensor,
    state: Tensor,
    gradient: Tensor,
    *,
    lr: float,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """A step over every row of a table and its state: `[C, D]`, `[C]`, `[C, D]` -> the new two."""
    state = state + gradient.pow(2).mean(dim=1)
    step = gradient / (state.sqrt() + eps)[:, None]
    return table - lr * (step + weight_decay * table), state
