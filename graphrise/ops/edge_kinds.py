"""What distances along edges there are: formulas and gradients, of many pairs of rows at once."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from graphrise.errors import ConfigError

Kind = Literal["squared_l2", "l2", "l1", "cosine", "js", "kl"]
"""`|u - v|^2`, its root, `|u - v|_1`, `1 - cos(u, v)`; of `p = softmax(u)` and `q = softmax(v)`:
`KL(p || q)`, and "js" as the mean of KL from p and from q to their midpoint (natural logarithms).

At distance 0 the gradient of "l2" is 0. A row whose norm is at most `NO_NORM` has cosine 0 with all
rows and no gradient.
"""

COMPILED: tuple[Kind, ...] = ("squared_l2", "l2", "l1", "cosine")
"""Those that there are compiled loops and kernels for; their number there is the place here."""

NO_NORM = 1e-12


def demand_kind(op: str, kind: str) -> None:
    """Demand a known kind.

    Raises:
        ConfigError: It is not.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"{op}: kind {kind!r} is none of {', '.join(get_args(Kind))}")


def distance(kind: str, u: Tensor, v: Tensor) -> Tensor:
    """Distance of each pair.

    Args:
        kind: A known one.
        u: `[B, D]`, float32 or float64.
        v: `[B, D]`.

    Returns:
        `[B]`.
    """
    if kind == "squared_l2":
        return (u - v).square_().sum(dim=1)
    if kind == "l2":
        return (u - v).square_().sum(dim=1).sqrt_()
    if kind == "l1":
        return (u - v).abs_().sum(dim=1)
    if kind == "cosine":
        return 1 - (u * v).sum(dim=1) * inverse_norm(u) * inverse_norm(v)
    p, q = u.log_softmax(dim=1), v.log_softmax(dim=1)
    if kind == "kl":
        return (p.exp() * (p - q)).sum(dim=1)
    middle = _middle(p, q)
    return (p.exp() * (p - middle) + q.exp() * (q - middle)).sum(dim=1) / 2


def gradients(kind: str, u: Tensor, v: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `(upstream * distance).sum()`.

    Args:
        kind: A known one.
        u: `[B, D]`, float32 or float64.
        v: `[B, D]`.
        upstream: `[B]`.

    Returns:
        To u and to v, `[B, D]`.
    """
    up = upstream.unsqueeze(1)
    if kind == "cosine":
        return _cosine_gradients(u, v, up)
    if kind in ("kl", "js"):
        return _divergence_gradients(kind, u, v, up)
    apart = u - v
    if kind == "squared_l2":
        to_u = apart.mul_(2 * up)
    elif kind == "l1":
        to_u = apart.sign_().mul_(up)
    else:
        far = torch.linalg.vector_norm(apart, dim=1, keepdim=True)
        to_u = apart.mul_(torch.where(far > 0, up / far, 0))
    return to_u, -to_u


def inverse_norm(x: Tensor) -> Tensor:
    """`1 / |x_i|` `[B]` of `[B, D]`; 0 for a row that has no direction."""
    norm = torch.linalg.vector_norm(x, dim=1)
    return torch.where(norm > NO_NORM, norm.reciprocal(), 0)


def _cosine_gradients(u: Tensor, v: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    of_u, of_v = inverse_norm(u).unsqueeze(1), inverse_norm(v).unsqueeze(1)
    u, v = u * of_u, v * of_v
    cosine = (u * v).sum(dim=1, keepdim=True)
    return (cosine * u - v) * (up * of_u), (cosine * v - u) * (up * of_v)


def _divergence_gradients(kind: str, u: Tensor, v: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    p, q = u.log_softmax(dim=1), v.log_softmax(dim=1)
    if kind == "kl":
        return _through_softmax(p, p - q) * up, (q.exp() - p.exp()) * up
    middle, half = _middle(p, q), up / 2
    return _through_softmax(p, p - middle) * half, _through_softmax(q, q - middle) * half


def _middle(p: Tensor, q: Tensor) -> Tensor:
    """Logarithm of the mean of two distributions that are given by theirs."""
    return torch.logaddexp(p, q) - math.log(2)


def _through_softmax(p: Tensor, t: Tensor) -> Tensor:
    """Gradient to the logits where that to the probabilities is t; p are their logarithms."""
    share = p.exp()
    return share * (t - (share * t).sum(dim=1, keepdim=True))
