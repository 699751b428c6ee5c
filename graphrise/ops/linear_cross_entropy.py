"""Exact softmax cross-entropy over all rows of a table; the logits are never in memory."""

from __future__ import annotations

from typing import Any, Optional

import torch
from torch import Tensor

from graphrise.errors import ConfigError
from graphrise.ops.backend import Backend, choose
from graphrise.ops.checks import check_index, checked_mode, demand_index
from graphrise.ops.dtypes import wide
from graphrise.ops.logit_blocks import DenseSink, add_own_
from graphrise.ops.soft_targets import SoftTargets, inside

_WIDEST = 512
"""Bytes of a row that the Triton kernels can take: it is one tile."""


def linear_cross_entropy(
    z: Tensor,
    weight: Tensor,
    row: Tensor,
    index: Tensor,
    share: Tensor,
    *,
    bias: Tensor | None = None,
    smoothing: float = 0.0,
    backend: Backend | None = None,
) -> Tensor:
    """`soft_cross_entropy(z @ weight.T + bias, row, index, share, smoothing)` without the logits.

    Blocks of rows are taken one after the other: forward the log of the sum of exponentials runs
    along, backward a block's logits are computed again (Cut Cross-Entropy, Wijmans et al., ICLR
    2025). Beyond inputs and gradients it takes a few MiB on a CPU; backward costs one more product
    than with the logits kept. Logits, sums and losses are float32 (of float64, float64): products
    of halves are added up in float32, also under autocast. Deterministic. Gradients flow to z,
    weight, share and bias, once.

    Args:
        z: Embeddings `[B, D]`, any float dtype.
        weight: `[C, D]`, a label's vector per row, dtype as z.
        row: int32 or int64 `[E]` in `[0, B)`, image of each label entry.
        index: int32 or int64 `[E]` in `[0, C)`, its label; what is named twice adds up.
        share: float `[E]`; an image's shares sum to 1, or it has none and loss 0.
        bias: `[C]`, added to the logits, dtype as z.
        smoothing: Epsilon in [0, 1): `q = (1 - epsilon) q_row + epsilon / C`.
        backend: Force "torch" or "triton" (rows to 512 bytes, Ampere or newer); None:
            `GRAPHRISE_BACKEND` or the best for device and dtype.

    Returns:
        `[B]` losses, float32 (float64 of float64).

    Raises:
        ConfigError: A shape or dtype is not as above, smoothing is out of range, or the backend
            cannot run here.
        DataError: A row or index is out of range (looked for on CPUs, and on GPUs with
            GRAPHRISE_CHECKED=1; else such entries are left out).
    """
    demand("linear_cross_entropy", z, weight, row, index, share, smoothing)
    if bias is not None and (bias.shape != weight.shape[:1] or bias.dtype != z.dtype):
        raise ConfigError(
            f"linear_cross_entropy: bias must be {z.dtype} {list(weight.shape[:1])}, got "
            f"{bias.dtype} {list(bias.shape)}"
        )
    name = pick("linear_cross_entropy", z, backend)
    share = share.to(wide(z.dtype))
    return _forward(z, weight, bias, row, index, share, smoothing, name)[0]


def demand(
    op: str, z: Tensor, weight: Tensor, row: Tensor, index: Tensor, share: Tensor, smoothing: float
) -> None:
    """Demand shapes and dtypes; arguments as the op's.

    Raises:
        ConfigError: They are others.
    """
    if not 0 <= smoothing < 1:
        raise ConfigError(f"{op}: smoothing must lie in [0, 1), got {smoothing}")
    fits = z.dim() == weight.dim() == 2 and z.size(1) == weight.size(1)
    if not fits or z.dtype != weight.dtype or not z.is_floating_point():
        raise ConfigError(
            f"{op}: z must be [B, D] and weight [C, D] of one float dtype; got {z.dtype} "
            f"{list(z.shape)} and {weight.dtype} {list(weight.shape)}"
        )
    demand_index(op, "row", row)
    demand_index(op, "index", index)
    if not row.shape == index.shape == share.shape or not share.is_floating_point():
        raise ConfigError(
            f"{op}: row, index and share (float) must be [E]; got {list(row.shape)}, "
            f"{list(index.shape)}, {share.dtype} {list(share.shape)}"
        )


def check(op: str, z: Tensor, weight: Tensor, row: Tensor, index: Tensor) -> None:
    """Look at the entries, where they are looked at.

    Raises:
        DataError: One is out of range.
    """
    if checked_mode(z):
        check_index(op, "row", row, z.size(0))
        check_index(op, "index", index, weight.size(0))


def pick(op: str, z: Tensor, asked: Backend | None) -> Backend:
    """The backend for such embeddings."""
    tiles = 0 < z.size(1) * z.dtype.itemsize <= _WIDEST
    if tiles and z.device.type == "cuda":
        # Older ones have too little shared memory, and no TF32.
        tiles = torch.cuda.get_device_properties(z.device).major >= 8
    return choose(op, z, ("triton", "torch") if tiles else ("torch",), asked)


def kernels(backend: str) -> Any:
    """The module that has a backend's `log_sum_exp` and `gradients`."""
    if backend == "triton":
        from graphrise.ops.triton import linear_cross_entropy

        return linear_cross_entropy
    from graphrise.ops import logit_blocks

    return logit_blocks


def forward(
    z: Tensor, weight: Tensor, bias: Tensor | None, targets: SoftTargets, backend: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Losses `[B]`, and what the gradients need: `log_sum_exp`'s three."""
    log_z, own, rows_sum = kernels(backend).log_sum_exp(z, weight, bias, targets)
    mean = None
    if targets.smoothing:
        mean = z.to(log_z.dtype) @ rows_sum
        mean = mean if bias is None else mean + bias.sum(dtype=mean.dtype)
        mean = mean / max(targets.classes, 1)
    return targets.losses(log_z, own, mean), log_z, own, rows_sum


@torch.library.custom_op("graphrise::linear_cross_entropy", mutates_args=())
def _forward(
    z: Tensor,
    weight: Tensor,
    bias: Optional[Tensor],  # noqa: UP045 (torch reads the schema from it)
    row: Tensor,
    index: Tensor,
    share: Tensor,
    smoothing: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    check("linear_cross_entropy", z, weight, row, index)
    targets = _targets(z, weight, row, index, share, smoothing)
    with torch.autocast(z.device.type, enabled=False):
        losses, log_z, own, rows_sum = forward(z, weight, bias, targets, backend)
    unsorted = share.new_zeros(share.shape)
    unsorted[targets.order] = own
    return losses, log_z, unsorted, rows_sum


@_forward.register_fake
def _(
    z: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    row: Tensor,
    index: Tensor,
    share: Tensor,
    smoothing: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    images = share.new_empty(z.size(0))
    return (
        images,
        torch.empty_like(images),
        share.new_empty(share.shape),
        share.new_empty(z.size(1)),
    )


@torch.library.custom_op("graphrise::linear_cross_entropy_backward", mutates_args=())
def _gradients(
    grad: Tensor,
    z: Tensor,
    weight: Tensor,
    bias: Optional[Tensor],  # noqa: UP045
    row: Tensor,
    index: Tensor,
    share: Tensor,
    log_z: Tensor,
    rows_sum: Tensor,
    smoothing: float,
    wanted: list[bool],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Of z, weight and bias; an empty tensor where one is not wanted."""
    targets = _targets(z, weight, row, index, share, smoothing)
    to_z = log_z.new_zeros(z.shape if wanted[0] else 0)
    to_weight = weight.new_empty(weight.shape if wanted[1] else 0)
    to_bias = log_z.new_empty(weight.size(0) if wanted[2] else 0)
    with torch.autocast(z.device.type, enabled=False):
        pull = targets.pull(grad, log_z)
        kernels(backend).gradients(
            z,
            weight,
            bias,
            targets,
            pull,
            to_z=to_z if wanted[0] else None,
            to_bias=to_bias if wanted[2] else None,
            sink=DenseSink(to_weight) if wanted[1] else None,
        )
        if wanted[0]:
            add_own_(to_z, weight, targets, pull, rows_sum)
    return to_z.to(z.dtype), to_weight, to_bias.to(z.dtype)


@_gradients.register_fake
def _(
    grad: Tensor,
    z: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    row: Tensor,
    index: Tensor,
    share: Tensor,
    log_z: Tensor,
    rows_sum: Tensor,
    smoothing: float,
    wanted: list[bool],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        z.new_empty(z.shape if wanted[0] else 0),
        weight.new_empty(weight.shape if wanted[1] else 0),
        z.new_empty(weight.size(0) if wanted[2] else 0),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.smoothing, ctx.backend = inputs
    ctx.save_for_backward(*tensors, *output[1:])
    ctx.mark_non_differentiable(*output[1:])


def _backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    z, weight, bias, row, index, share, log_z, own, rows_sum = ctx.saved_tensors
    needed = ctx.needs_input_grad
    wanted, grads = list(needed[:3]), (None, None, None)
    if any(wanted):
        sums = log_z, rows_sum
        entries = row, index, share
        found = _gradients(
            grad, z, weight, bias, *entries, *sums, ctx.smoothing, wanted, ctx.backend
        )
        grads = tuple(of if want else None for of, want in zip(found, wanted, strict=True))
    to_share = None
    if needed[5]:
        there = inside(row, index, images=z.size(0), classes=weight.size(0))
        to_share = _to_share((1 - ctx.smoothing) * grad, log_z, own, row, there)
    return *grads, None, None, to_share, None, None


def _to_share(grad: Tensor, log_z: Tensor, own: Tensor, row: Tensor, there: Tensor) -> Tensor:
    """Gradient `[E]` of the shares; 0 of an entry that was left out, whose row is not followed."""
    if not grad.numel():
        return torch.zeros_like(own)
    row = row.long().clamp(0, grad.numel() - 1)
    return torch.where(there, grad[row] * (log_z[row] - own), 0)


_forward.register_autograd(_backward, setup_context=_setup)


def _targets(
    z: Tensor, weight: Tensor, row: Tensor, index: Tensor, share: Tensor, smoothing: float
) -> SoftTargets:
    sizes = {"images": z.size(0), "classes": weight.size(0)}
    return SoftTargets.of(row, index, share, smoothing=smoothing, **sizes)
