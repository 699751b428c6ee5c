"""From a run's settings to what updates its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from graphrise.config import RunConfig
from graphrise.nn.heads import LabelHead
from graphrise.nn.rowwise import Together
from graphrise.train.label_head import row_optimizer

BACKBONE = "encoder.backbone."


def optimizer_of(config: RunConfig, module: nn.Module, head: LabelHead) -> Optimizer:
    """AdamW or SGD, as `config.train.optimizer` says; no weight decay on biases and norms.

    Args:
        config: The run.
        module: All that is trained; what wants no gradient is left out. Names that begin with
            `encoder.backbone.` have `config.encoder.lr_factor` times the learning rate.
        head: Its label head; rows of a sampled one have an optimiser of their own beside it.
    """
    train = config.train
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        lr = train.lr * (config.encoder.lr_factor if name.startswith(BACKBONE) else 1.0)
        decay = train.weight_decay if parameter.dim() > 1 else 0.0
        groups.setdefault((lr, decay), []).append(parameter)
    options: list[dict[str, Any]] = [
        {"params": parameters, "lr": lr, "weight_decay": decay}
        for (lr, decay), parameters in groups.items()
    ]
    # A fused step undoes fp16's scaling of the loss by itself: too late for clipping.
    fused = train.precision != "16-mixed"
    if train.optimizer == "sgd":
        momentum = train.momentum
        optimizer: Optimizer = torch.optim.SGD(
            options, momentum=momentum, nesterov=momentum > 0, fused=fused
        )
    else:
        optimizer = torch.optim.AdamW(options, fused=fused)
    rows = row_optimizer(config, head)
    return optimizer if rows is None else Together(optimizer, rows)
