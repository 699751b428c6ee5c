"""Adversarial neighbours: pictures changed a little in the direction that a model minds most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from graphrise.ops.counter_random import counter_bits

Norm = Literal["l2", "infinity"]
_STREAM = 10


def fgsm(x: Tensor, loss: Callable[[Tensor], Tensor], *, size: float, norm: Norm) -> Tensor:
    """One step of length `size` up the gradient of a loss (Goodfellow et al., arXiv 1412.6572).

    With norm "l2" that of NSL's `gen_adv_neighbor`, which divides by the gradient's length.

    Args:
        x: Pictures `[B, ...]`.
        loss: Of such pictures, `[B]` or a scalar; called once.
        size: Length of every picture's step.
        norm: What it is measured by.

    Returns:
        Pictures as x, without gradient.
    """
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf).sum(), leaf)
    return x.detach() + size * steepest(gradient, norm)


def vat(
    x: Tensor,
    distance: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    size: float,
    norm: Norm,
    steps: int = 1,
) -> Tensor:
    """A step of length `size` to where the distance from x grows most (Miyato et al., TPAMI 2018).

    Power iteration: the gradient of the distance of `x + size * r` is the next direction r. The
    distance is 0 at x, and so is its gradient if it is a smooth one: hence a random first r. Miyato
    et al. probe nearer to x, at 1e-6, of which half precision sees nothing.

    Args:
        x: Pictures `[B, ...]`.
        distance: Of such pictures to x, `[B]`; called once a step.
        start: First directions, shape as x; their length does not matter.
        size: Length of every picture's step.
        norm: What it is measured by.
        steps: Power iterations.

    Returns:
        Pictures as x, without gradient.
    """
    x, direction = x.detach(), steepest(start, norm)
    for _ in range(steps):
        with torch.enable_grad():
            move = (size * direction).requires_grad_()
            (gradient,) = torch.autograd.grad(distance(x + move).sum(), move)
        direction = steepest(gradient, norm)
    return x + size * direction


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """The step of length 1 along which a function with that gradient grows most, per picture.

    Args:
        gradient: `[B, ...]`; what is not finite counts as 0.
        norm: "l2": the gradient over its length; "infinity": its signs.

    Returns:
        Shape and dtype of `gradient`, without gradient of its own; 0 where that is 0.
    """
    gradient = gradient.detach().nan_to_num(0.0, 0.0, 0.0)
    if norm == "infinity":
        return gradient.sign()
    over = tuple(range(1, gradient.dim()))
    # First by the largest number: squares of small ones would be 0.
    largest = gradient.abs().amax(over, keepdim=True)
    gradient = torch.where(largest > 0, gradient / largest, 0)
    length = torch.linalg.vector_norm(gradient, dim=over, keepdim=True)
    return gradient / length.clamp(min=1)


def random_directions(x: Tensor, seed: int, step: int) -> Tensor:
    """Normal numbers of the shape, dtype and device of x: a function of (seed, step).

    Args:
        x: `[B, ...]`.
        seed: Not negative.
        step: Not negative.
    """
    bits = int(counter_bits(seed, _STREAM, step) >> 1)
    generator = torch.Generator(x.device).manual_seed(bits)
    return torch.empty_like(x).normal_(generator=generator)
