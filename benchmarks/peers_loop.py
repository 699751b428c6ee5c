"""Part of case `peers`: the plain loop that trains by graphrise's losses and by peers'."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from graphrise.config import TrainConfig
from graphrise.nn.encoder import Encoder
from graphrise.train.schedule import rate

WARM_UP = 10
"""Steps before the clock of the images a second starts."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What is trained, on what.

    Attributes:
        encoder: The encoder.
        optimizer: Of it and of what else is trained.
        batches: Without end.
        step: A batch's loss, a scalar, and the images encoded for it.
    """

    encoder: Encoder
    optimizer: Optimizer
    batches: Iterator[Any]
    step: Callable[[Any], tuple[Tensor, int]]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """How training went.

    Attributes:
        passes: Images encoded.
        seconds: From the first step to the last.
        rate: Images a second after the first steps.
        losses: Of every step.
    """

    passes: int
    seconds: float
    rate: float
    losses: list[float]


class NotFinite(ArithmeticError):
    """A loss is no number."""


def fit(parts: Parts, train: TrainConfig) -> Fitted:
    """Train to the end of `train.passes`, at learning rates that follow it.

    Raises:
        NotFinite: A loss is not finite; says in which step.
    """
    budget, passes = train.passes, 0
    assert budget is not None
    schedule = LambdaLR(parts.optimizer, lambda _: rate(train, min(1.0, passes / budget)))
    losses, ends = [], [(0, time.perf_counter())]
    while passes < budget:
        loss, count = parts.step(next(parts.batches))
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise NotFinite(f"loss {losses[-1]} in step {len(losses)}")
        parts.optimizer.zero_grad()
        loss.backward()
        parts.optimizer.step()
        passes += count
        schedule.step()
        ends.append((passes, time.perf_counter()))
    (before, start), (after, end) = ends[min(WARM_UP, len(ends) - 2)], ends[-1]
    seconds = end - ends[0][1]
    return Fitted(
        passes=passes, seconds=seconds, rate=(after - before) / (end - start), losses=losses
    )
