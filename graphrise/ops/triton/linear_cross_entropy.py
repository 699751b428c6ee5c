"""Softmax over all rows of a table on a GPU: what `ops/logit_blocks.py` does, by Triton."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrise.ops import logit_blocks
from graphrise.ops.dtypes import wide
from graphrise.ops.logit_blocks import DenseSink, RowSink
from graphrise.ops.soft_targets import Pull, SoftTargets
from graphrise.ops.triton.device import device_of
from graphrise.ops.triton.softmax_kernels import LIFT, sums_kernel, to_rows_kernel, to_z_kernel

_PROGRAMS = 2048
"""About how many share the labels: several for each of a GPU's processors, to end together."""
_ROWS = 1 << 18
"""Rows whose gradient is in memory at a time where it is not kept."""
_LOWER = 2.0**-LIFT.value
"""What the kernels' exponentials are to be multiplied by."""


class _Nowhere(RowSink):
    """Of a bias alone: the kernel writes rows too."""

    def take(self, begin: int, end: int, grads: Tensor) -> None:
        """Forget it."""


def log_sum_exp(
    z: Tensor, weight: Tensor, bias: Tensor | None, targets: SoftTargets
) -> tuple[Tensor, Tensor, Tensor]:
    """As `logit_blocks.log_sum_exp`; the entries' logits are of products of their own."""
    if z.numel() == 0 or weight.numel() == 0:
        return logit_blocks.log_sum_exp(z, weight, bias, targets)
    z, weight = z.contiguous(), weight.contiguous()
    given = z if bias is None else bias.contiguous()
    images, classes, dim = z.size(0), weight.size(0), z.size(1)
    options = launch(z, bias)
    grid, span = _shared(images, classes, options)
    top = z.new_empty(grid[1], z.size(0), dtype=wide(z.dtype))
    total = torch.empty_like(top)
    with device_of(z):
        sums_kernel[grid](top, total, z, weight, given, images, classes, dim, span, **options)
    highest = top.amax(dim=0)
    sums = (total * torch.exp(top - highest)).sum(dim=0, dtype=torch.float64)
    own = weight.index_select(0, targets.index).to(top.dtype)
    own = (own * z.index_select(0, targets.row)).sum(dim=1)
    own = own if bias is None else own + bias.index_select(0, targets.index)
    rows_sum = top.new_zeros(z.size(1))
    if targets.smoothing:
        for part in weight.split(_ROWS):
            rows_sum += part.sum(dim=0, dtype=top.dtype)
    return highest + sums.log().to(top.dtype), own, rows_sum


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
    """As `logit_blocks.gradients`; that of z is complete before the sink is given anything."""
    if z.numel() == 0 or weight.numel() == 0:
        logit_blocks.gradients(
            z, weight, bias, targets, pull, to_z=to_z, to_bias=to_bias, sink=sink
        )
        return
    z, weight = z.contiguous(), weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    if to_z is not None:
        _to_z(to_z, z, weight, bias, pull)
    if sink is not None or to_bias is not None:
        _to_rows(z, weight, bias, targets, pull, to_bias, sink or _Nowhere(weight))


def _to_z(to_z: Tensor, z: Tensor, weight: Tensor, bias: Tensor | None, pull: Pull) -> None:
    given = z if bias is None else bias
    images, classes, dim = z.size(0), weight.size(0), z.size(1)
    options, offset = launch(z, bias), pull.offset
    grid, span = _shared(images, classes, options)
    parts = to_z.new_empty(grid[1], *z.shape)
    with device_of(z):
        to_z_kernel[grid](parts, z, weight, given, offset, images, classes, dim, span, **options)
    torch.sum(parts, dim=0, out=to_z)
    to_z.mul_((pull.sign * pull.size * _LOWER).unsqueeze(1))


def _to_rows(
    z: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: SoftTargets,
    pull: Pull,
    to_bias: Tensor | None,
    sink: RowSink,
) -> None:
    options, classes = launch(z, bias), weight.size(0)
    offset, scale = pull.offset, (pull.size * _LOWER).reshape(1)
    signed = z * pull.sign.to(z.dtype).unsqueeze(1)
    even = -(pull.even @ z.to(offset.dtype))
    labels, own, own_bias = _own_rows(z, weight, bias, targets, pull)
    at_bias = offset.new_empty(0 if bias is None else classes) if to_bias is None else to_bias
    # The kernel rounds what is kept, so that needs no buffer.
    kept = isinstance(sink, DenseSink)
    step = classes if kept else _ROWS
    # All at once: a look at the device for every block would have each wait for the one before.
    starts = torch.arange(0, classes, step, device=labels.device)
    edges = [*torch.searchsorted(labels, starts).tolist(), labels.numel()]
    for i, begin in enumerate(range(0, classes, step)):
        end = min(begin + step, classes)
        grads = sink.table if kept else sink.buffer(begin, end)
        with device_of(z):
            to_rows_kernel[(triton.cdiv(end - begin, options["BLOCK_C"]),)](
                grads,
                at_bias[begin:end],
                z,
                signed,
                weight[begin:end],
                z if bias is None else bias[begin:end],
                offset,
                pull.sign,
                scale,
                even,
                z.size(0),
                end - begin,
                z.size(1),
                **options,
            )
        mine = slice(edges[i], edges[i + 1])
        grads.index_copy_(0, labels[mine] - begin, own[mine].to(grads.dtype))
        if not kept:
            sink.take(begin, end, grads)
    if to_bias is not None:
        to_bias.sub_(pull.even.sum()).index_copy_(0, labels, own_bias)


def _own_rows(
    z: Tensor, weight: Tensor, bias: Tensor | None, targets: SoftTargets, pull: Pull
) -> tuple[Tensor, Tensor, Tensor]:
    """Labels of the batch `[R]`, rising, and the wide gradient of their rows and biases.

    Their two parts almost cancel where an image is learnt, and must not be rounded before. They are
    few, and of float64: products of float32 may be of TF32, by a setting that the kernels' are not.
    """
    labels, place = torch.unique_consecutive(targets.index, return_inverse=True)
    rows = weight.index_select(0, labels).double()
    out, to_bias = torch.empty_like(rows), rows.new_empty(labels.shape)
    logit_blocks.gradients(
        z.double(),
        rows,
        None if bias is None else bias.index_select(0, labels),
        replace(targets, index=place, classes=labels.numel()),
        pull.to(rows.dtype),
        to_z=None,
        to_bias=to_bias,
        sink=DenseSink(out),
    )
    return labels, out.to(pull.even.dtype), to_bias.to(pull.even.dtype)


def launch(z: Tensor, bias: Tensor | None) -> dict[str, Any]:
    """Constants of the kernels, warps and stages, for embeddings `[B, D]`."""
    # Of float32 three products of TF32, as exact as one of float32; of others it says nothing.
    precision = "tf32x3" if z.device.type == "cuda" else "ieee"
    return {**tiles(z.dtype, z.size(1)), "HAS_BIAS": bias is not None, "PRECISION": precision}


def tiles(dtype: torch.dtype, dim: int) -> dict[str, Any]:
    """Sizes of tiles: what a processor has of registers and shared memory decides."""
    width = max(triton.next_power_of_2(dim), 16)
    row = width * dtype.itemsize
    # Halves fill tensor cores with large tiles; float32 takes several registers for each product,
    # and of wide rows tiles must fit where there are 100 KB.
    side = 32 if dtype.itemsize > 2 or row > 256 else 128 if row <= 128 else 64
    return {
        "WIDE": tl.float64 if dtype == torch.float64 else tl.float32,
        "BLOCK_B": side,
        "BLOCK_C": side,
        "DIM": width,
        "num_warps": 8 if side == 128 or row > 256 else 4,
        "num_stages": 3 if row <= 256 else 2,
    }


def _shared(images: int, classes: int, options: dict[str, Any]) -> tuple[tuple[int, int], int]:
    """A grid over images and parts of the labels, and how many labels a part has."""
    groups = triton.cdiv(images, options["BLOCK_B"])
    steps = triton.cdiv(classes, options["BLOCK_C"])
    parts = min(max(_PROGRAMS // groups, 1), steps)
    span = triton.cdiv(steps, parts) * options["BLOCK_C"]
    return (groups, triton.cdiv(classes, span)), span
