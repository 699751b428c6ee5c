"""What changes over a run's budget."""

from __future__ import annotations

import math

from graphrise.config import EdgeConfig, TrainConfig

_ONE_CYCLE_START = 1 / 25
"""Of the peak: the default of torch's OneCycleLR, whose linear form without a cycle of the momentum
`one_cycle` is."""


def rate(train: TrainConfig, fraction: float) -> float:
    """Factor on every peak learning rate: linear warm-up, then what `train.schedule` says.

    Args:
        train: The budget's settings.
        fraction: Share of the budget that is used, 0 to 1.
    """
    warmup = train.warmup
    if fraction < warmup:
        if train.schedule == "one_cycle":
            return _ONE_CYCLE_START + (1 - _ONE_CYCLE_START) * fraction / warmup
        return max(fraction, 0.01 * warmup) / warmup
    since = (fraction - warmup) / (1 - warmup)
    if train.schedule == "constant":
        return 1.0
    if train.schedule == "one_cycle":
        return 1.0 - since
    return 0.5 * (1 + math.cos(math.pi * since))


def edge_ramp(edges: EdgeConfig, fraction: float) -> float:
    """Factor on the weights of all terms but the labels': 0, then rising in a straight line to 1.

    Args:
        edges: The edge term's settings.
        fraction: Share of the budget that is used, 0 to 1.
    """
    since = fraction - edges.alpha_start
    if since < 0:
        return 0.0
    return 1.0 if since >= edges.alpha_ramp else since / edges.alpha_ramp
