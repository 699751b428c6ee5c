"""Augmentation on the device, per image, a function of (seed, epoch, image)."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphrise.config import ImageConfig
from graphrise.ops.counter_random import counter_uniform

DRAWS = 16
_STREAM = 3
_LUMA = (0.299, 0.587, 0.114)


def augment_draws(seed: int, epoch: int, images: np.ndarray) -> Tensor:
    """Uniform numbers that fix the augmentation of some images: float32 `[B, DRAWS]`."""
    u = counter_uniform(seed, _STREAM, epoch, images[:, None], np.arange(DRAWS)[None, :])
    return torch.from_numpy(u.astype(np.float32))


class Augment(nn.Module):
    """uint8 images to normalised float images, randomly moved and recoloured if asked."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, config: ImageConfig, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        """Keep strengths and the encoder's normalisation (per channel, on the 0..1 scale)."""
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor, draws: Tensor | None = None) -> Tensor:
        """Augment (with `draws`) and normalise.

        Args:
            images: uint8 `[B, 3, H, W]`.
            draws: float32 `[B, DRAWS]` in [0, 1), from `augment_draws`; None: only normalise.

        Returns:
            float32 `[B, 3, H, W]`, channels_last.
        """
        x = images.to(torch.float32).div_(255)
        if draws is not None and len(x):
            x = self._move(x, draws[:, :6])
            x = self._recolour(x, draws[:, 6:11])
            x = self._erase(x, draws[:, 11:16])
        x = (x - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last)

    def _move(self, x: Tensor, u: Tensor) -> Tensor:
        c = self.config
        zoom = torch.exp((2 * u[:, 0] - 1) * math.log1p(c.scale))
        angle = (2 * u[:, 1] - 1) * math.radians(c.rotate)
        shift = (2 * u[:, 2:4] - 1) * (2 * c.shift)  # grid units: the side is 2 long
        mirror = torch.where(u[:, 4] < 0.5, -1.0, 1.0) if c.flip else torch.ones_like(zoom)
        cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
        theta = torch.stack(
            (
                torch.stack((cos * mirror, -sin, shift[:, 0]), dim=1),
                torch.stack((sin * mirror, cos, shift[:, 1]), dim=1),
            ),
            dim=1,
        )
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)

    def _recolour(self, x: Tensor, u: Tensor) -> Tensor:
        """Brightness, contrast, saturation and hue as one 3 x 3 matrix and an offset per image."""
        strength = self.config.colour
        if strength == 0 and self.config.grey == 0:
            return x
        signed = (2 * u - 1) * strength
        eye = torch.eye(3, device=x.device)
        luma = torch.tensor(_LUMA, device=x.device).expand(3, 3)
        grey = (
            (u[:, 4] < self.config.grey).float() if self.config.grey else torch.zeros_like(u[:, 4])
        )
        saturation = ((1 + signed[:, 2]) * (1 - grey)).view(-1, 1, 1)
        gain = ((1 + signed[:, 0]) * (1 + signed[:, 1])).view(-1, 1, 1)
        matrix = gain * (saturation * eye + (1 - saturation) * luma) @ _hue(signed[:, 3])
        mean = x.mean(dim=(2, 3))
        contrast = (1 + signed[:, 1]).view(-1, 1)
        offset = mean * (1 - contrast)
        out = torch.einsum("bij,bjhw->bihw", matrix, x) + offset[:, :, None, None]
        return out.clamp_(0, 1)

    def _erase(self, x: Tensor, u: Tensor) -> Tensor:
        """Blank a rectangle of a tenth to a third of the side with the image's mean colour."""
        if self.config.erase == 0:
            return x
        height, width = x.shape[2:]
        sides = 0.2 + 0.3 * u[:, 1:3]
        corner = u[:, 3:5] * (1 - sides)
        rows = torch.linspace(0, 1, height, device=x.device)
        columns = torch.linspace(0, 1, width, device=x.device)
        in_rows = (rows >= corner[:, :1]) & (rows <= corner[:, :1] + sides[:, :1])
        in_columns = (columns >= corner[:, 1:]) & (columns <= corner[:, 1:] + sides[:, 1:])
        chosen = (u[:, 0] < self.config.erase).view(-1, 1, 1)
        hole = (in_rows[:, :, None] & in_columns[:, None, :] & chosen)[:, None]
        return torch.where(hole, x.mean(dim=(2, 3), keepdim=True), x)


def _hue(turn: Tensor) -> Tensor:
    """Rotation by `turn` (fraction of half a circle) about the grey axis: `[B, 3, 3]`."""
    angle = turn * math.pi
    cos, sin = torch.cos(angle).view(-1, 1, 1), torch.sin(angle).view(-1, 1, 1)
    third = 1 / 3
    eye = torch.eye(3, device=turn.device)
    average = torch.full((3, 3), third, device=turn.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=turn.device)
    return cos * eye + (1 - cos) * average + sin * math.sqrt(third) * cross
