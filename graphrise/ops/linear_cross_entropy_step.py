"""Exact softmax over all rows of a table, and its update, without a gradient of the table."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrise.errors import ConfigError
from graphrise.ops.backend import Backend
from graphrise.ops.dtypes import wide
from graphrise.ops.linear_cross_entropy import check, demand, forward, kernels, pick
from graphrise.ops.logit_blocks import RowSink, add_own_
from graphrise.ops.soft_targets import SoftTargets
from graphrise.ops.stochastic_round import stochastic_round

_OP = "linear_cross_entropy_step_"


@torch.no_grad()
def linear_cross_entropy_step_(
    z: Tensor,
    table: Tensor,
    state: Tensor,
    row: Tensor,
    index: Tensor,
    share: Tensor,
    *,
    lr: float,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    smoothing: float = 0.0,
    upstream: Tensor | None = None,
    generator: torch.Generator | None = None,
    backend: Backend | None = None,
) -> tuple[Tensor, Tensor]:
    """A training step of a table under `linear_cross_entropy`: losses, and its rows updated.

    Every row has a gradient and is updated as by `rowwise_adagrad_`, a block after the other, so
    the gradient `[C, D]` of the table is never in memory. Outside of autograd; the encoder's part:

        losses, grad = linear_cross_entropy_step_(z.detach(), table, state, ...)
        z.backward(grad)

    Args:
        z: Embeddings `[B, D]` of the table's dtype.
        table: `[C, D]`, float32, bfloat16 (rounded stochastically) or float64; changed in place.
        state: `[C]`, float32 (float64 with such a table), sums of squares; changed in place.
        row: As `linear_cross_entropy`.
        index: As there.
        share: As there.
        lr: Step size.
        eps: Added to the root, above 0.
        weight_decay: Decoupled.
        smoothing: Epsilon in [0, 1).
        upstream: float `[B]`, the gradient of what is minimised to the losses; None: it is their
            mean, so 1 / B.
        generator: Of stochastic rounding, on the table's device.
        backend: As there.

    Returns:
        Losses `[B]`, float32 (float64 of float64), and the gradient of z `[B, D]`, of its dtype;
        both of the table as it was.

    Raises:
        ConfigError: A shape or dtype is not as above, smoothing is out of range, or the backend
            cannot run here.
        DataError: A row or index is out of range, as there.
    """
    _demand(z, table, state, upstream)
    demand(_OP, z, table, row, index, share, smoothing)
    name = pick(_OP, z, backend)
    check(_OP, z, table, row, index)
    sizes = {"images": z.size(0), "classes": table.size(0)}
    targets = SoftTargets.of(row, index, share.to(state.dtype), smoothing=smoothing, **sizes)
    update = _Update(table, state, lr=lr, eps=eps, decay=weight_decay, generator=generator)
    with torch.autocast(z.device.type, enabled=False):
        losses, log_z, _, rows_sum = forward(z, table, None, targets, name)
        if upstream is None:
            upstream = torch.full_like(losses, 1 / max(losses.numel(), 1))
        pull = targets.pull(upstream.to(losses.dtype), log_z)
        own, others = (torch.zeros_like(z, dtype=losses.dtype) for _ in range(2))
        # Of the rows as they are, before any changes.
        add_own_(own, table, targets, pull, rows_sum)
        kernels(name).gradients(
            z, table, None, targets, pull, to_z=others, to_bias=None, sink=update
        )
    return losses, (own + others).to(z.dtype)


def _demand(z: Tensor, table: Tensor, state: Tensor, upstream: Tensor | None) -> None:
    full = wide(table.dtype)
    if table.dtype == torch.float16 or state.shape != table.shape[:1] or state.dtype != full:
        raise ConfigError(
            f"{_OP}: table must be float32, bfloat16 or float64 [C, D] and state {full} [C]; got "
            f"{table.dtype} {list(table.shape)} and {state.dtype} {list(state.shape)}"
        )
    if upstream is not None and upstream.shape != z.shape[:1]:
        raise ConfigError(f"{_OP}: upstream must be [B], got {list(upstream.shape)}")


class _Update(RowSink):
    """Row-wise Adagrad on rows as their gradient comes."""

    def __init__(
        self,
        table: Tensor,
        state: Tensor,
        *,
        lr: float,
        eps: float,
        decay: float,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__(table)
        self._state, self._lr, self._eps, self._decay = state, lr, eps, decay
        self._generator = generator

    def take(self, begin: int, end: int, grads: Tensor) -> None:
        total, rows = self._state[begin:end], self.table[begin:end]
        total += grads.square().mean(dim=1)
        grads.div_((total.sqrt() + self._eps).unsqueeze(1))
        if rows.dtype != torch.bfloat16:
            rows.mul_(1 - self._lr * self._decay).sub_(grads, alpha=self._lr)
            return
        new = rows.float().mul_(1 - self._lr * self._decay).sub_(grads, alpha=self._lr)
        rows.copy_(stochastic_round(new, self._generator))
