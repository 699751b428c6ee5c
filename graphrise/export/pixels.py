"""The encoder with its normalisation inside: what a server is to run."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from graphrise.nn.encoder import Encoder


class PixelEncoder(nn.Module):
    """uint8 pixels to embeddings."""

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Encoder) -> None:
        """Take a copy of an encoder, on the CPU and in evaluation mode."""
        super().__init__()
        self.encoder = copy.deepcopy(encoder).cpu().eval()
        self.register_buffer("mean", torch.tensor(encoder.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(encoder.std).view(3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed.

        Args:
            pixels: uint8 `[B, 3, S, S]`, RGB; S is the encoder's size.

        Returns:
            float32 `[B, D]`.
        """
        return self.encoder((pixels.to(torch.float32) / 255 - self.mean) / self.std)


def sample_pixels(batch: int, side: int) -> Tensor:
    """Random pictures to trace and to compare with: uint8 `[batch, 3, side, side]`."""
    generator = torch.Generator().manual_seed(batch)
    return torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, generator=generator)
