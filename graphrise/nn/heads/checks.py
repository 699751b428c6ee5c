"""Demands on what a head is given, before it trains or names labels on it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphrise.errors import DataError


def demand_labels(head: str, index: Tensor, num_labels: int) -> None:
    """Demand labels that there are.

    Args:
        head: Its name, for the error.
        index: int64 `[E]`.
        num_labels: C.

    Raises:
        DataError: One is not in `[0, C)`.
    """
    if index.numel() and bool((index.min() < 0) | (index.max() >= num_labels)):
        raise DataError(
            f"{head}: labels from {int(index.min())} to {int(index.max())}; they must "
            f"be in [0, {num_labels}), was the head made for another vocabulary?"
        )


def demand_finite(z: Tensor, images: Sequence[int] = ()) -> None:
    """Demand embeddings that have nearest labels.

    Args:
        z: `[B, D]`.
        images: Rows of each rank, if they are of several.

    Raises:
        DataError: A row holds NaN or infinity.
    """
    bad = (~torch.isfinite(z)).any(dim=1)
    if not bool(bad.any()):
        return
    for rank, rows in enumerate(bad.split(list(images) or [len(z)])):
        if bool(rows.any()):
            place = f" on rank {rank}" if len(images) > 1 else ""
            raise DataError(
                f"top_labels: embeddings hold NaN or infinity in {int(rows.sum())} of {len(rows)} "
                f"rows{place}, first in row {int(rows.nonzero()[0])}; "
                "look at what made them, or leave these out"
            )
