"""Row-wise updates: a program for each run of equal rows adds it up and updates the row."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrise.ops.triton.device import device_of
from graphrise.ops.triton.dtypes import wide


@triton.jit
def update_kernel(
    table,
    state,
    sorted_rows,
    order,
    grads,
    noise,
    lr,
    eps,
    weight_decay,
    keep,
    add,
    num_rows,
    num_entries,
    dim,
    ROUND: tl.constexpr,
    WIDE: tl.constexpr,
    DIM: tl.constexpr,
):
    """One entry of the sorted rows: the first of its run does the work of the run."""
    entry = tl.program_id(0).to(tl.int64)
    row = tl.load(sorted_rows + entry)
    before = tl.load(sorted_rows + entry - 1, mask=entry > 0, other=-1)
    if (row == before) | (row < 0) | (row >= num_rows):
        return
    place = tl.arange(0, DIM)
    inside = place < dim
    total = tl.zeros([DIM], dtype=WIDE)
    at, more = entry, row == row
    while more:
        grad = grads + tl.load(order + at) * dim
        total += tl.load(grad + place, mask=inside, other=0.0).to(WIDE)
        at += 1
        more = tl.load(sorted_rows + at, mask=at < num_entries, other=-1) == row
    mean, old_mean = tl.sum(total * total) / dim, tl.load(state + row)
    mean = tl.where(old_mean > 0, keep * old_mean + add * mean, mean)
    tl.store(state + row, mean)
    step = lr / (tl.sqrt(mean) + eps)
    old = tl.load(table + row * dim + place, mask=inside, other=0.0).to(WIDE)
    new = (1 - lr * weight_decay) * old - step * total
    if ROUND:
        # As ops.stochastic_round: random low bits, cut off after a carry into the high ones.
        low = tl.randint(tl.load(noise), (entry * DIM + place).to(tl.int32)) & 0xFFFF
        bits = (new.to(tl.int32, bitcast=True) + low.to(tl.int32)) & -65536
        new = tl.where(tl.abs(new) < float("inf"), bits.to(tl.float32, bitcast=True), new)
    tl.store(table + row * dim + place, new.to(table.dtype.element_ty), mask=inside)


def update_(
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
) -> None:
    """`rowwise_step_` of contiguous tensors of one device, with at least one row."""
    in_order, order = torch.sort(rows, stable=True)
    dim = triton.next_power_of_2(table.size(1))
    with device_of(table):
        update_kernel[(rows.numel(),)](
            table,
            state,
            in_order,
            order,
            grads.contiguous(),
            in_order if noise is None else noise,
            lr,
            eps,
            weight_decay,
            keep,
            add,
            table.size(0),
            rows.numel(),
            table.size(1),
            ROUND=noise is not None,
            WIDE=wide(table.dtype),
            DIM=dim,
            num_warps=1 if dim <= 256 else 4,  # pyright: ignore[reportCallIssue]
        )
