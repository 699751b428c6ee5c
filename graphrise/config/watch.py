"""What is written down while a run trains."""

from __future__ import annotations

from dataclasses import dataclass

from graphrise.config.base import require

LOGGERS = ("csv", "tensorboard", "wandb", "mlflow")


@dataclass(frozen=True, kw_only=True)
class WatchConfig:
    """Where a run's figures go, and how often: losses, speed, gradients, state of the embedding."""

    loggers: tuple[str, ...] = ("csv", "tensorboard")
    """Of csv (metrics.csv of the run folder), tensorboard (its folder tensorboard/), wandb and
    mlflow (`pip install graphrise[wandb]`, `graphrise[mlflow]`; their own environment variables say
    where to)."""
    every: int = 10
    """Optimiser steps from one row of figures to the next; the last step always has one."""

    def __post_init__(self) -> None:
        for name in self.loggers:
            require(name in LOGGERS, f"watch.loggers must be of {', '.join(LOGGERS)}; got {name!r}")
        require(len(set(self.loggers)) == len(self.loggers), "watch.loggers names one twice")
        require(self.every >= 1, "watch.every must be at least 1")
