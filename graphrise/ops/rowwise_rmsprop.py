"""RMSprop with one number of state a row, on the rows that have a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrise.errors import ConfigError
from graphrise.ops.backend import Backend
from graphrise.ops.rowwise_step import rowwise_step_


def rowwise_rmsprop_(
    table: Tensor,
    state: Tensor,
    rows: Tensor,
    grads: Tensor,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    generator: torch.Generator | None = None,
    backend: Backend | None = None,
) -> None:
    """Update some rows of a table in place, those named twice once by the sum of their gradients.

    Of a row w with gradient g: `s = alpha s + (1 - alpha) mean(g^2)`, the first time `mean(g^2)`;
    `w -= lr (g / (sqrt(s) + eps) + weight_decay w)`. torch's RMSprop with one mean a row, counted
    by the updates of that row, and with decoupled weight decay. Unlike those of
    `rowwise_adagrad_`, steps do not shrink with their number; no step is longer than
    `lr sqrt(D / (1 - alpha))`. Memory, dtypes and rounding are as there.

    Args:
        table: `[C, D]`, float32, bfloat16 or float64.
        state: `[C]`, float32 (float64 with such a table), means of squares; 0 of a row that was
            never updated.
        rows: As `rowwise_adagrad_`.
        grads: `[R, D]`.
        lr: Step size.
        alpha: Smoothing constant, in [0, 1).
        eps: Added to the root, above 0.
        weight_decay: Decoupled, of these rows only.
        generator: Of stochastic rounding, on the table's device.
        backend: As `rowwise_adagrad_`.

    Raises:
        ConfigError: alpha is out of range, shapes do not fit, or the backend cannot run here.
        DataError: A row is out of range, as there.
    """
    if not 0 <= alpha < 1:
        raise ConfigError(f"rowwise_rmsprop_: alpha must lie in [0, 1), got {alpha}")
    rowwise_step_(
        "rowwise_rmsprop_",
        table,
        state,
        rows,
        grads,
        lr=lr,
        eps=eps,
        weight_decay=weight_decay,
        keep=alpha,
        add=1 - alpha,
        generator=generator,
        backend=backend,
    )
