"""What an interrupted run goes on from."""

from __future__ import annotations

from dataclasses import dataclass

from graphrise.config.base import require


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When checkpoints are written and how many are kept; `graphrise train --resume` reads them.

    SIGTERM and Ctrl-C write one too, so that only what ends a process at once (SIGKILL, a power
    cut) costs the work since the last.
    """

    minutes: float = 5.0
    """Minutes from one checkpoint to the next."""
    steps: int | None = None
    """The same in optimiser steps, whichever comes first; None: by time alone."""
    keep: int = 1
    """Checkpoints kept, the newest. Each holds the label vectors of a sampled head (10 GB for 40
    million) and the bank."""
    best: bool = True
    """With a probe: keep the encoder that scored highest in it, in best/ of the run folder."""

    def __post_init__(self) -> None:
        require(self.minutes > 0, "checkpoint.minutes must be above 0")
        require(self.steps is None or self.steps >= 1, "checkpoint.steps must be at least 1")
        require(self.keep >= 1, "checkpoint.keep must be at least 1")
