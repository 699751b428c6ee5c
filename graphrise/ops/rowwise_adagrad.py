"""Adagrad with one number of state a row, on the rows that have a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrise.errors import ConfigError
from graphrise.ops.stochastic_round import stochastic_round


def rowwise_adagrad_(
    table: Tensor,
    state: Tensor,
    rows: Tensor,
    grads: Tensor,
    *,
    lr: float,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    generator: torch.Generator | None = None,
) -> None:
    """Update some rows of a table in place.

    Of a row w with gradient g: `s += mean(g^2)`, `w -= lr (g / (sqrt(s) + eps) + weight_decay w)`,
    as FBGEMM's row-wise Adagrad, with decoupled weight decay. Four bytes of state a row instead of
    four a weight; nothing is read or written but the rows named. A bfloat16 table is updated in
    float32 and rounded stochastically.

    Args:
        table: `[C, D]`, float32, bfloat16 or float64.
        state: `[C]`, float32 (float64 with such a table), sums of squares; not negative.
        rows: int64 `[R]`; what rows named twice add up to is their gradient.
        grads: `[R, D]`.
        lr: Step size.
        eps: Added to the root, above 0.
        weight_decay: Decoupled, of these rows only.
        generator: Of stochastic rounding, on the table's device.

    Raises:
        ConfigError: Shapes do not fit.
    """
    if state.shape != table.shape[:1] or grads.shape != (rows.numel(), table.size(1)):
        raise ConfigError(
            f"rowwise_adagrad_: table [C, D], state [C], rows [R], grads [R, D]; got "
            f"{list(table.shape)}, {list(state.shape)}, {list(rows.shape)}, {list(grads.shape)}"
        )
    if not rows.numel():
        return
    rows, grads = summed(rows, grads.to(state.dtype))
    total = state.index_select(0, rows) + grads.square().mean(dim=1)
    state.index_copy_(0, rows, total)
    step = grads / (total.sqrt() + eps).unsqueeze(1)
    write_rows(table, rows, step, lr=lr, weight_decay=weight_decay, generator=generator)


def summed(rows: Tensor, grads: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct rows, rising, and the sum of the gradients of each.

    Args:
        rows: int64 `[R]`.
        grads: `[R, D]`.
    """
    if bool((rows[1:] > rows[:-1]).all()):
        return rows, grads
    distinct, place = torch.unique(rows, return_inverse=True)
    return distinct, grads.new_zeros(distinct.numel(), grads.size(1)).index_add_(0, place, grads)


def write_rows(
    table: Tensor,
    rows: Tensor,
    step: Tensor,
    *,
    lr: float,
    weight_decay: float = 0.0,
    generator: torch.Generator | None = None,
) -> None:
    """`w -= lr (step + weight_decay w)` of distinct rows (int64 `[R]`, step `[R, D]`), in place."""
    # Not table[rows], which takes four times as long.
    new = table.index_select(0, rows).to(step.dtype)
    new.mul_(1 - lr * weight_decay).sub_(step, alpha=lr)
    half = table.dtype == torch.bfloat16
    table.index_copy_(0, rows, stochastic_round(new, generator) if half else new.to(table.dtype))
