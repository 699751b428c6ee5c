"""Batch normalisation whose running statistics are left as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

BatchNorm = _BatchNorm
"""Base of torch's and timm's layers of every number of dimensions, of SyncBatchNorm too."""


def batch_norms(module: nn.Module) -> list[BatchNorm]:
    """Its layers of batch normalisation that keep running statistics."""
    return [m for m in module.modules() if isinstance(m, BatchNorm) and m.track_running_stats]


@contextmanager
def statistics_kept(norms: Sequence[BatchNorm]) -> Iterator[None]:
    """In training mode, normalise by the batch and leave running statistics alone.

    Args:
        norms: Layers that do so inside the context.
    """
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            # Not track_running_stats=False: the layer would keep other tensors for the backward
            # pass, and torch's checkpointing refuses a second run that differs.
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum, norm.num_batches_tracked = momentum, count
