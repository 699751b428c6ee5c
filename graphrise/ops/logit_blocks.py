"""Softmax over all rows of a table in plain torch: a block of logits at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from graphrise.ops.dtypes import wide
from graphrise.ops.soft_targets import Pull, SoftTargets, add_rows_

_BLOCK = {"cpu": 1 << 20}
"""Logits at a time: on a CPU 4 MiB of float32, which its caches hold."""
_DEVICE_BLOCK = 1 << 24
"""Elsewhere 64 MiB: a product keeps a GPU busy for longer than its start takes."""
_FEWEST = 256
"""Rows at a time at least: products of fewer are slow."""


class RowSink:
    """Where the gradient of a table goes, a block of rows after the other."""

    def __init__(self, table: Tensor) -> None:
        """Take the gradient of `table` `[C, D]`."""
        self.table = table
        self._memory = table.new_empty(0, table.size(1), dtype=wide(table.dtype))

    def buffer(self, begin: int, end: int) -> Tensor:
        """What the gradient of rows `[begin, end)` is to be written to: wide `[n, D]`."""
        if self._memory.size(0) < end - begin:
            self._memory = self._memory.new_empty(end - begin, self.table.size(1))
        return self._memory[: end - begin]

    def take(self, begin: int, end: int, grads: Tensor) -> None:
        """It is written; `grads` is the buffer, used again for the next rows."""
        raise NotImplementedError


class DenseSink(RowSink):
    """Keeps all of it in `table`, which is a gradient itself."""

    def buffer(self, begin: int, end: int) -> Tensor:
        """The place itself, unless it is of halves."""
        if self.table.dtype == self._memory.dtype:
            return self.table[begin:end]
        return super().buffer(begin, end)

    def take(self, begin: int, end: int, grads: Tensor) -> None:
        """Round what is not in its place yet."""
        if self.table.dtype != grads.dtype:
            self.table[begin:end] = grads


def block_rows(z: Tensor) -> int:
    """Rows of the table that are taken at a time with embeddings `[B, D]`."""
    return max(_BLOCK.get(z.device.type, _DEVICE_BLOCK) // max(*z.shape, 1), _FEWEST)


def log_sum_exp(
    z: Tensor, weight: Tensor, bias: Tensor | None, targets: SoftTargets
) -> tuple[Tensor, Tensor, Tensor]:
    """`log sum_c exp(z_b . weight_c + bias_c)`, and what else the losses need.

    Args:
        z: `[B, D]`, any float dtype.
        weight: `[C, D]`, any float dtype.
        bias: `[C]`.
        targets: Of the batch.

    Returns:
        Wide: the logs `[B]`; the entries' logits `[E]`, from the same products, so that their
        rounding cancels; the sum of all rows `[D]`.
    """
    z = z.to(wide(z.dtype))
    top = z.new_full((z.size(0),), torch.finfo(z.dtype).min)
    # Thousands of blocks are added up.
    total = top.new_zeros(top.shape, dtype=torch.float64)
    own, rows_sum = z.new_zeros(targets.index.shape), z.new_zeros(z.size(1))
    bounds = targets.bounds(block_rows(z))
    for i, (begin, rows, logits) in enumerate(_logit_blocks(z, weight, bias)):
        mine = slice(bounds[i], bounds[i + 1])
        if mine.stop > mine.start:
            own[mine] = logits[targets.row[mine], targets.index[mine] - begin]
        higher = torch.maximum(top, logits.amax(dim=1))
        total *= torch.exp(top - higher)
        total += logits.sub_(higher.unsqueeze(1)).exp_().sum(dim=1)
        top = higher
        if targets.smoothing:
            rows_sum += rows.sum(dim=0)
    return top + total.log().to(z.dtype), own, rows_sum


def gradients(
    z: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: SoftTargets,
    pull: Pull,
    *,
    to_z: Tensor | None,
    to_bias: Tensor | None,
    sink: RowSink | None,
) -> None:
    """The gradient of the losses, in one pass over the table.

    A block's rows are read before the sink is given their gradient, and not again.

    Args:
        z: `[B, D]`.
        weight: `[C, D]`.
        bias: `[C]`.
        targets: Of the batch.
        pull: The gradient to the logits.
        to_z: Wide zeros `[B, D]`; added to it is what `add_own_` does not add.
        to_bias: Wide `[C]`, written.
        sink: Given the gradient of the rows.
    """
    z = z.to(wide(z.dtype))
    factor = pull.sign * pull.size
    scaled, even = z * factor.unsqueeze(1), -(pull.even @ z)
    bounds = targets.bounds(block_rows(z))
    for i, (begin, rows, logits) in enumerate(_logit_blocks(z, weight, bias)):
        mine, end = slice(bounds[i], bounds[i + 1]), begin + rows.size(0)
        place, share = targets.index[mine] - begin, -pull.coefficient[mine]
        p = logits.add_(pull.offset.unsqueeze(1)).exp_()
        if to_z is not None:
            to_z.addmm_(p, rows)
        if to_bias is not None:
            torch.mv(p.T, factor, out=to_bias[begin:end])
            add_rows_(to_bias[begin:end].sub_(pull.even.sum()), place, share)
        if sink is not None:
            grads = torch.addmm(even, p.T, scaled, out=sink.buffer(begin, end))
            if place.numel():
                add_rows_(grads, place, share.unsqueeze(1) * z[targets.row[mine]])
            sink.take(begin, end, grads)
    if to_z is not None:
        to_z.mul_(factor.unsqueeze(1))


def add_own_(
    to_z: Tensor, weight: Tensor, targets: SoftTargets, pull: Pull, rows_sum: Tensor
) -> None:
    """Add to the gradient of z what the images' own labels and smoothing pull.

    Args:
        to_z: Wide `[B, D]`.
        weight: `[C, D]`, as it was when the losses were computed.
        targets: Of the batch.
        pull: The gradient to the logits.
        rows_sum: `[D]`, from `log_sum_exp`.
    """
    own = weight.index_select(0, targets.index).to(to_z.dtype)
    add_rows_(to_z, targets.row, own.mul_(-pull.coefficient.unsqueeze(1)))
    if targets.smoothing:
        to_z.addr_(pull.even, rows_sum, alpha=-1)


def _logit_blocks(
    z: Tensor, weight: Tensor, bias: Tensor | None
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """First row, the rows `[n, D]` and their logits `[B, n]`, wide; valid until the next block."""
    images, classes = z.size(0), weight.size(0)
    step = min(block_rows(z), classes)
    logits = z.new_empty(images * step)
    half = weight.dtype != z.dtype
    copy = z.new_empty(step, z.size(1)) if half else None
    bias = None if bias is None else bias.to(z.dtype)
    for begin in range(0, classes, max(step, 1)):
        rows = weight[begin : begin + step]
        if copy is not None:
            rows = copy[: rows.size(0)].copy_(rows)
        out = logits[: images * rows.size(0)].view(images, rows.size(0))
        if bias is None:
            torch.mm(z, rows.T, out=out)
        else:
            torch.addmm(bias[begin : begin + step], z, rows.T, out=out)
        yield begin, rows, out
