"""From a run's settings to what updates its weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from graphrise.config import RunConfig
from graphrise.nn.heads import FullSoftmax, SampledSoftmax
from graphrise.nn.rowwise import Together
from graphrise.train.label_head import row_optimizer


def optimizer_of(
    config: RunConfig, module: nn.Module, head: FullSoftmax | SampledSoftmax
) -> Optimizer:
    """AdamW; no weight decay on biases and norms.

    Args:
        config: The run.
        module: All that is trained.
        head: Its label head; rows of a sampled one have an optimiser of their own beside it.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for parameter in module.parameters():
        (decayed if parameter.dim() > 1 else plain).append(parameter)
    train = config.train
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": train.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=train.lr,
        fused=True,
    )
    rows = row_optimizer(config, head)
    return optimizer if rows is None else Together(optimizer, rows)
