"""Whether an exported encoder gives the embeddings that the encoder gives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphrise.errors import GraphriseError
from graphrise.export.pixels import PixelEncoder, sample_pixels

TOLERANCE = 1e-4
"""Largest difference of an embedding's element that an export may have."""
_BATCHES = (1, 5)  # neither is what the export was traced with


@torch.inference_mode()
def largest_difference(
    name: str, model: PixelEncoder, exported: Callable[[Tensor], Tensor], side: int
) -> float:
    """Compare on random pictures, one of them and several.

    Args:
        name: Of the exported file, for messages.
        model: The encoder.
        exported: Takes uint8 `[B, 3, side, side]`, gives float32 `[B, D]`.
        side: Of the pictures.

    Returns:
        Largest absolute difference of an element.

    Raises:
        GraphriseError: It is over 1e-4, or not a number.
    """
    batches = [sample_pixels(batch, side) for batch in _BATCHES]
    difference = max(float((exported(x) - model(x)).abs().max()) for x in batches)
    if not difference <= TOLERANCE:
        raise GraphriseError(
            f"{name}: its embeddings differ from the encoder's by up to {difference:.1e}, more "
            f"than {TOLERANCE:.0e}; nothing was exported"
        )
    return difference
