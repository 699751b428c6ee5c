"""Rows of a rank's slice, whose gradient is finite on all ranks or on none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphrise.nn.heads.collectives import largest, world
from graphrise.nn.heads.table import LabelTable


def shard_rows(table: LabelTable, rows: Tensor, device: torch.device) -> Tensor:
    """As `table.gather`, of a table that is one slice of several.

    Where the gradient of one rank's slice has an infinity or a NaN after a backward pass, that of
    every other slice gets an infinity, in its first row: a gradient scaler looks only at what its
    rank has, and must skip the step on all or on none. Every rank has to call it and to run the
    backward pass, with or without rows.

    Args:
        table: This rank's slice.
        rows: int64 `[R]` in `[0, table.num_labels)`; R may be 0 and differ between ranks.
        device: Of the result, and of what the ranks tell each other.

    Returns:
        `[R, D]`, float32 (float64 from such a table).
    """
    if world()[1] == 1 or not torch.is_grad_enabled():
        return table.gather(rows, device)
    found: Tensor = _ShardRows.apply(table.gradient, table, rows, device)  # type: ignore[assignment]
    return found


class _ShardRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, table: LabelTable, rows: Tensor, device: torch.device
    ) -> Tensor:
        ctx.table = table
        ctx.save_for_backward(rows)
        return table.gather(rows, device)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None, None]:
        (rows,) = ctx.saved_tensors
        table, like = ctx.table, grads[0]
        # Runs before `gather_embeddings` goes back, on every rank: autograd takes the newest of
        # what is ready on a device, and this one is made after it.
        with torch.no_grad():
            table.add_gradient(rows.to(like.device), like)
            # Of all batches so far: the sum of finite gradients need not be finite.
            if _only_elsewhere(~table.gradient.grad.isfinite(), like.device):
                # A row of its own: there may be none to put it in. No NaN, which a norm would show.
                first = torch.zeros(1, dtype=torch.long, device=like.device)
                table.add_gradient(first, like.new_full((1, table.dim), torch.inf))
        return None, None, None, None


def _only_elsewhere(true: Tensor, device: torch.device) -> bool:
    """Whether something is true on another rank and nothing on this one."""
    here = true.any().to(device, torch.int32)
    return bool(largest(here) > here)
