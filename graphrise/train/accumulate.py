"""Batches that make up one optimiser step."""

from __future__ import annotations


def tail_factor(accumulate: int, batch_idx: int, num_batches: int) -> float:
    """What a batch's loss is multiplied by, so that a step's gradient is the mean of its batches'.

    Lightning divides every loss by `accumulate`, and ends a step with the epoch, when fewer may
    have come together.

    Args:
        accumulate: Batches per step.
        batch_idx: Number of the batch in its epoch.
        num_batches: Batches of the epoch.

    Returns:
        1, or above it in an epoch's last step.
    """
    first = batch_idx - batch_idx % accumulate
    return accumulate / min(accumulate, num_batches - first)
