"""The moving average of an encoder's weights."""

from __future__ import annotations

from timm.utils.model_ema import ModelEmaV3
from torch import nn


def average_of(encoder: nn.Module, decay: float) -> ModelEmaV3:
    """An exponential moving average, buffers included, that forgets the first weights soon.

    Its `update(encoder, step=t)` wants the number of the step, from 1: the decay is
    `(t - 1) / (9 + t)` as long as that is below `decay`, the rule of TensorFlow's
    ExponentialMovingAverage. Of the encoder only: an average of the label vectors would double the
    largest table there is, and write every row of it in every step.

    Args:
        encoder: Copied.
        decay: Between 0 and 1.
    """
    average = ModelEmaV3(encoder, decay, use_warmup=True, warmup_gamma=10.0, warmup_power=1.0)
    # Like the rest of the module: Lightning warns of parts in evaluation mode.
    return average.requires_grad_(False).train()
