"""Adagrad with one number of state a row, on the rows that have a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrise.ops.backend import Backend
from graphrise.ops.rowwise_step import rowwise_step_


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
    backend: Backend | None = None,
) -> None:
    """Update some rows of a table in place, those named twice once by the sum of their gradients.

    Of a row w with gradient g: `s += mean(g^2)`, `w -= lr (g / (sqrt(s) + eps) + weight_decay w)`,
    as FBGEMM's row-wise Adagrad, with decoupled weight decay. Four bytes of state a row instead of
    four a weight; nothing is read or written but the rows named. A bfloat16 table is updated in
    float32 and rounded stochastically.

    Args:
        table: `[C, D]`, float32, bfloat16 or float64.
        state: `[C]`, float32 (float64 with such a table), sums of squares; not negative.
        rows: int32 or int64 `[R]` in `[0, C)`; what rows named twice add up to is their gradient.
        grads: `[R, D]`.
        lr: Step size.
        eps: Added to the root, above 0.
        weight_decay: Decoupled, of these rows only.
        generator: Of stochastic rounding, on the table's device.
        backend: Force one; None: `GRAPHRISE_BACKEND` or the best for device and dtype.

    Raises:
        ConfigError: Shapes do not fit, or the backend cannot run here.
        DataError: A row is out of range (looked for on CPUs, and on GPUs with
            GRAPHRISE_CHECKED=1; else such rows are left out).
    """
    rowwise_step_(
        "rowwise_adagrad_",
        table,
        state,
        rows,
        grads,
        lr=lr,
        eps=eps,
        weight_decay=weight_decay,
        keep=1.0,
        add=1.0,
        generator=generator,
        backend=backend,
    )
