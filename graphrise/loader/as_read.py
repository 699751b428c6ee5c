"""What stands for augmentation where images are features."""

from __future__ import annotations

from torch import Tensor, nn


class AsRead(nn.Module):
    """Features as they are: they are not augmented, and the encoder normalises them."""

    def forward(self, images: Tensor, draws: Tensor | None = None) -> Tensor:
        """float32 `[B, D]`, unchanged; `draws` are for pictures."""
        return images
