"""What a step's embeddings, gradients and learning rates are like, in a few numbers."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

_TINY = 1e-12


@torch.no_grad()
def embedding_measures(z: Tensor) -> dict[str, Tensor]:
    """Length, spread and rank of a batch's embeddings.

    Args:
        z: `[B, D]`, one row an image.

    Returns:
        Scalars. `embedding_norm`: mean length. Of at least two images, too: `embedding_spread`, 1
        minus the mean cosine between different images: 0 if all have one direction (collapse), 1
        if they have nothing in common, 1 + 1 / (B - 1) at most; it does not depend on B as the
        length of the mean vector does. `embedding_rank`, in how many directions they differ:
        `(sum l)^2 / sum l^2` over the eigenvalues l of the directions' covariance (participation
        ratio), 1 to min(D, B - 1), and 0 where they do not differ.
    """
    z = z.to(torch.float32)
    norm = z.norm(dim=1)
    found = {"embedding_norm": norm.mean()}
    count = len(z)
    if count < 2:
        return found
    unit = z / norm.clamp_min(_TINY).unsqueeze(1)
    total = unit.sum(dim=0)
    pairs = count * (count - 1)
    found["embedding_spread"] = 1 - (total.square().sum() - unit.square().sum()) / pairs
    centred = unit - total / count
    # Both products have the same eigenvalues; neither has to be taken apart for these two sums.
    gram = centred.T @ centred if z.size(1) <= count else centred @ centred.T
    found["embedding_rank"] = gram.trace().square() / gram.square().sum().clamp_min(_TINY**2)
    return found


def gradient_norms(encoder: nn.Module, head: nn.Module) -> dict[str, Tensor]:
    """L2 norms of the present gradients: `grad_norm/encoder` and `grad_norm/head`, scalars.

    Of a head with a label table the rows of the step count as well, of a sharded one this rank's.
    """
    parts = {"grad_norm/encoder": encoder.parameters(), "grad_norm/head": head_parameters(head)}
    return {
        name: get_total_norm([p.grad for p in part if p.grad is not None])
        for name, part in parts.items()
    }


def head_parameters(head: nn.Module) -> Iterable[nn.Parameter]:
    """Parameters of a label head and, where it has a table, what that table's gradient is in."""
    yield from head.parameters()
    table = getattr(head, "table", None)
    if table is not None:
        yield table.gradient


def learning_rates(optimizer: Optimizer, encoder: nn.Module, head: nn.Module) -> dict[str, float]:
    """The learning rates of a step.

    Returns:
        `lr`, and where the backbone or the head has groups of its own, `lr/backbone` or `lr/head`.
    """
    backbone = {id(p) for p in getattr(encoder, "backbone", nn.Module()).parameters()}
    of_head = {id(p) for p in head_parameters(head)}
    found: dict[str, float] = {}
    for group in optimizer.param_groups:
        ids = {id(p) for p in group["params"]}
        if not ids:
            continue
        name = "lr/backbone" if ids <= backbone else "lr/head" if ids <= of_head else "lr"
        found.setdefault(name, float(group["lr"]))
    return found
