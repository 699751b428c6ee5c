"""Lightning's announcements that say nothing about a run, held back while one trains."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_NOT_OURS = (
    # Workers are a setting of ours; small cached image sets are read fastest without any.
    ".*does not have many workers.*",
    # Epochs of a few batches are normal here: the budget counts passes.
    ".*smaller than the logging interval.*",
    # Lightning asks PyTorch's pytree in a way that torch 2.14 deprecates.
    r".*isinstance\(treespec, LeafSpec\).*is deprecated.*",
    # Under fp16 the first steps may be left out: the scale of the loss is being found.
    ".*lr_scheduler.step.* before .optimizer.step.*",
    # The wheel is a CUDA build; training on the CPU of a GPU box is a choice.
    ".*GPU available but not used.*",
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Only warnings that a user can act on come through."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    before = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _NOT_OURS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for log, level in zip(loggers, before, strict=True):
            log.setLevel(level)
