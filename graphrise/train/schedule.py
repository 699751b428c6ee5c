"""What changes over a run's budget."""

from __future__ import annotations

import math

from graphrise.config import TrainConfig


def rate(train: TrainConfig, fraction: float) -> float:
    """Factor on every peak learning rate: linear warm-up, then cosine to zero.

    Args:
        train: The budget's settings.
        fraction: Share of the budget that is used, 0 to 1.
    """
    warmup = train.warmup
    if fraction < warmup:
        return max(fraction, 0.01 * warmup) / warmup
    return 0.5 * (1 + math.cos(math.pi * (fraction - warmup) / (1 - warmup)))
