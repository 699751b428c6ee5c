"""A step over some rows of a table, scaled by one number of state a row."""

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


def rowwise_step_(
    op: str,
    table: Tensor,
    state: Tensor,
    rows: Tensor,
    grads: Tensor,
    *,
    lr: float,
    eps: float,
    weight_decay: float,
    keep: float,
    add: float,
    generator: torch.Generator | None,
    backend: Backend | None,
) -> None:
    """What `rowwise_adagrad_` and `rowwise_rmsprop_` share.

    Of a row w with gradient g: `s = keep s + add mean(g^2)`, or `mean(g^2)` where s is 0;
    `w -= lr (g / (sqrt(s) + eps) + weight_decay w)`.

    Args:
        op: Its name, for errors.
        table: As there, and the others too.
        state: As there.
        rows: As there.
        grads: As there.
        lr: As there.
        eps: As there.
        weight_decay: As there.
        keep: Share of the state that stays.
        add: Share of the new mean of squares.
        generator: As there.
        backend: As there.

    Raises:
        ConfigError: As there.
        DataError: As there.
    """
    if state.shape != table.shape[:1] or grads.shape != (rows.numel(), table.size(1)):
        raise ConfigError(
            f"{op}: table [C, D], state [C], rows [R], grads [R, D]; got "
            f"{list(table.shape)}, {list(state.shape)}, {list(rows.shape)}, {list(grads.shape)}"
        )
    if not rows.numel():
        return
    name = choose(op, table, _backends(table, state, grads), backend)
    noise = None
    if table.dtype == torch.bfloat16:
        # A tensor: on a GPU nobody waits for its value.
        noise = torch.randint(1 << 31, (1,), generator=generator, device=table.device)
    _rowwise_step_(table, state, rows, grads, lr, eps, weight_decay, keep, add, noise, op, name)


def _backends(table: Tensor, state: Tensor, grads: Tensor) -> tuple[Backend, ...]:
    if not table.is_contiguous() or not state.is_contiguous():
        return ("torch",)  # the loops write through plain memory
    compiled: tuple[Backend, ...] = ("numba", "torch") if grads.numel() >= _LARGE else _SMALL
    # Triton takes a step size as float32.
    return compiled if table.dtype == torch.float64 else ("triton", *compiled)


@torch.library.custom_op("graphrise::rowwise_step_", mutates_args=("table", "state"))
def _rowwise_step_(
    table: Tensor,
    state: Tensor,
    rows: Tensor,
    grads: Tensor,
    lr: float,
    eps: float,
    weight_decay: float,
    keep: float,
    add: float,
    noise: Optional[Tensor],  # noqa: UP045 (torch reads the schema from it)
    op: str,
    backend: str,
) -> None:
    """`noise`: int64 `[1]`, seed of stochastic rounding, with a bfloat16 table."""
    if checked_mode(table):
        check_index(op, "rows", rows, table.size(0))
    rows, grads = rows.long(), grads.to(state.dtype)
    if backend == "numba":
        from graphrise.ops.cpu.rowwise import update_

        update_(table, state, rows, grads, lr, eps, weight_decay, keep, add)
    elif backend == "triton":
        from graphrise.ops.triton.rowwise import update_

        update_(table, state, rows, grads, lr, eps, weight_decay, keep, add, noise)
    else:
        rows, grads = summed(rows, grads)
        if not checked_mode(table):
            there = inside(rows, table.size(0))
            rows, grads = rows[there], grads[there]
        before, mean = state.index_select(0, rows), grads.square().mean(dim=1)
        total = torch.where(before > 0, keep * before + add * mean, mean)
        state.index_copy_(0, rows, total)
        step = grads / (total.sqrt() + eps).unsqueeze(1)
        generator = None
        if noise is not None:
            generator = torch.Generator(table.device).manual_seed(int(noise))
        write_rows(table, rows, step, lr=lr, weight_decay=weight_decay, generator=generator)


@_rowwise_step_.register_fake
def _(
    table: Tensor,
    state: Tensor,
    rows: Tensor,
    grads: Tensor,
    lr: float,
    eps: float,
    weight_decay: float,
    keep: float,
    add: float,
    noise: Tensor | None,
    op: str,
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
