"""Adagrad with one number of state a row, on the rows that have a gradient."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from graphrise.errors import ConfigError
from graphrise.ops.backend import Backend, choose
from graphrise.ops.checks import check_index, checked_mode, inside
from graphrise.ops.stochastic_round import stochastic_round

_LARGE = 1 << 20
"""Numbers of gradient from which on loops of our own are taken on a CPU. In a training step torch's
threads are awake from the products before; starting others beside them costs a small update more
than one pass over it saves."""
_SMALL: tuple[Backend, ...] = ("torch", "numba")


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
    if state.shape != table.shape[:1] or grads.shape != (rows.numel(), table.size(1)):
        raise ConfigError(
            f"rowwise_adagrad_: table [C, D], state [C], rows [R], grads [R, D]; got "
            f"{list(table.shape)}, {list(state.shape)}, {list(rows.shape)}, {list(grads.shape)}"
        )
    if not rows.numel():
        return
    name = choose("rowwise_adagrad_", table, _backends(table, state, grads), backend)
    noise = None
    if table.dtype == torch.bfloat16:
        # A tensor: on a GPU nobody waits for its value.
        noise = torch.randint(1 << 31, (1,), generator=generator, device=table.device)
    _rowwise_adagrad_(table, state, rows, grads, lr, eps, weight_decay, noise, name)


def _backends(table: Tensor, state: Tensor, grads: Tensor) -> tuple[Backend, ...]:
    if not table.is_contiguous() or not state.is_contiguous():
        return ("torch",)  # the loops write through plain memory
    compiled: tuple[Backend, ...] = ("numba", "torch") if grads.numel() >= _LARGE else _SMALL
    # Triton takes a step size as float32.
    return compiled if table.dtype == torch.float64 else ("triton", *compiled)


@torch.library.custom_op("graphrise::rowwise_adagrad_", mutates_args=("table", "state"))
def _rowwise_adagrad_(
    table: Tensor,
    state: Tensor,
    rows: Tensor,
    grads: Tensor,
    lr: float,
    eps: float,
    weight_decay: float,
    noise: Optional[Tensor],  # noqa: UP045 (torch reads the schema from it)
    backend: str,
) -> None:
    """`noise`: int64 `[1]`, seed of stochastic rounding, with a bfloat16 table."""
    if checked_mode(table):
        check_index("rowwise_adagrad_", "rows", rows, table.size(0))
    rows, grads = rows.long(), grads.to(state.dtype)
    if backend == "numba":
        from graphrise.ops.cpu.rowwise_adagrad import update_

        update_(table, state, rows, grads, lr, eps, weight_decay)
    elif backend == "triton":
        from graphrise.ops.triton.rowwise_adagrad import update_

        update_(table, state, rows, grads, lr, eps, weight_decay, noise)
    else:
        rows, grads = summed(rows, grads)
        if not checked_mode(table):
            there = inside(rows, table.size(0))
            rows, grads = rows[there], grads[there]
        total = state.index_select(0, rows) + grads.square().mean(dim=1)
        state.index_copy_(0, rows, total)
        step = grads / (total.sqrt() + eps).unsqueeze(1)
        generator = None
        if noise is not None:
            generator = torch.Generator(table.device).manual_seed(int(noise))
        write_rows(table, rows, step, lr=lr, weight_decay=weight_decay, generator=generator)


@_rowwise_adagrad_.register_fake
def _(
    table: Tensor,
    state: Tensor,
    rows: Tensor,
    grads: Tensor,
    lr: float,
    eps: float,
    weight_decay: float,
    noise: Tensor | None,
    backend: str,
) -> None:
    return None


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
