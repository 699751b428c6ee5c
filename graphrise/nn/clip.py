"""Clipping by the norm of all gradients, those of label tables on other ranks too."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from graphrise.errors import ConfigError
from graphrise.nn.heads.collectives import gather_rows, world
from graphrise.nn.heads.table import LabelTable


@torch.no_grad()
def clip_grad_norm_(
    parameters: Iterable[nn.Parameter], tables: Iterable[LabelTable], max_norm: float
) -> Tensor:
    """Clip gradients by their joint L2 norm, as if one process had the tables of all ranks.

    Every gradient is multiplied by `max_norm / (norm + 1e-6)` where that is below 1, as
    `torch.nn.utils.clip_grad_norm_` does, and by the same number on every rank. With one process it
    is that function.

    Every rank has to call it, with as many tables and after its backward passes; under a gradient
    scaler after `unscale_`. Lightning's `gradient_clip_val` sees one rank's slices only: call this
    in `configure_gradient_clipping` instead.

    Args:
        parameters: Of which each rank has a copy with the same gradient, as
            DistributedDataParallel leaves it; or with none.
        tables: This rank's slices, the whole tables with one process.
        max_norm: Above 0.

    Returns:
        Scalar, the norm before; float64 over several ranks and the same on each. It is not finite
        where a gradient is not.

    Raises:
        ConfigError: A parameter is named twice, such as a table's gradient.
    """
    copied, slices = list(parameters), [table.gradient for table in tables]
    every, ranks = [*copied, *slices], world()[1]
    if len({id(parameter) for parameter in every}) < len(every):
        raise ConfigError(
            "clip_grad_norm_: a parameter is there twice and would count twice; gradients of label "
            "tables come from `tables`, leave them out of `parameters`"
        )
    if ranks == 1 or not slices:
        return nn.utils.clip_grad_norm_(every, max_norm)
    # In double precision, whatever the gradients are: a rank may have none at all.
    norms = [_norm(part).to(every[0].device, torch.float64) for part in (copied, slices)]
    of_all = gather_rows(torch.stack(norms).unsqueeze(0), [1] * ranks)
    # The first rank's copies speak for all: the result is then the same to the last bit.
    norm = torch.linalg.vector_norm(torch.cat((of_all[:1, 0], of_all[:, 1])))
    clip_grads_with_norm_(every, max_norm, norm)
    return norm


def _norm(parameters: list[nn.Parameter]) -> Tensor:
    return get_total_norm([p.grad for p in parameters if p.grad is not None])
