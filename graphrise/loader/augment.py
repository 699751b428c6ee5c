"""Augmentation on the device, per image, a function of (seed, epoch, image)."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphrise.config import ImageConfig
from graphrise.errors import ConfigError
from graphrise.loader.crop import centre_crop, centre_windows, into_windows, random_windows
from graphrise.loader.rand_augment import rand_augment
from graphrise.ops.backend import choose
from graphrise.ops.counter_random import counter_uniform

DRAWS = 24
"""Random numbers an image: move 0 to 5, colour 6 to 10, erase 11 to 15, crop 16 to 19, RandAugment
20 to 23. A run repeats only as long as their meaning stays, so new ones come after."""

_STREAM = 3
_LUMA = (0.299, 0.587, 0.114)


def augment_draws(seed: int, epoch: int, images: np.ndarray) -> Tensor:
    """Uniform numbers that fix the augmentation of some images: float32 `[B, DRAWS]`."""
    u = counter_uniform(seed, _STREAM, epoch, images[:, None], np.arange(DRAWS)[None, :])
    return torch.from_numpy(u.astype(np.float32))


class Augment(nn.Module):
    """uint8 images to normalised float images, randomly moved and recoloured if asked.

    The order is that of torchvision's recipes: crop and move in one, RandAugment, colour, erase.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, config: ImageConfig, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        """Keep strengths and the encoder's normalisation (per channel, on the 0..1 scale)."""
        super().__init__()
        self.config = config
        self.register_buffer("mean", _row(mean, config.size), persistent=False)
        self.register_buffer("std", _row(std, config.size), persistent=False)

    def forward(self, images: Tensor, draws: Tensor | None = None) -> Tensor:
        """Augment (with `draws`) and normalise; in float32, under autocast too.

        Args:
            images: uint8 `[B, 3, S, S]`; S is the `canvas` of the config, or its `size`.
            draws: float32 `[B, DRAWS]` in [0, 1], from `augment_draws`; None: only crop the centre
                and normalise.

        Returns:
            float32 `[B, 3, size, size]`, channels_last.

        Raises:
            ConfigError: S is neither, or another shape is not as above.
        """
        size, canvas = self.config.size, self.config.canvas
        if images.dim() != 4 or images.size(1) != 3:
            raise ConfigError(f"pictures must be [B, 3, S, S], got {list(images.shape)}")
        if draws is not None and draws.shape != (len(images), DRAWS):
            raise ConfigError(
                f"draws must be [{len(images)}, {DRAWS}], from augment_draws; got "
                f"{list(draws.shape)}"
            )
        height, width = images.shape[2:]
        if height != width or height not in (size, canvas):
            raise ConfigError(
                f"pictures of {height} x {width} pixels: must be of side {canvas} (size {size} / "
                f"crop_pct {self.config.crop_pct}) or {size}; read them at images.canvas"
            )
        # A grid in bfloat16 would be off by a pixel or more.
        with torch.autocast(images.device.type, enabled=False):
            if draws is None or len(images) == 0:
                x = _unit(centre_crop(images, size))
            elif self._looped(images):
                from graphrise.loader.augment_loop import augmented

                scale = (of[0, :, 0, 0] for of in (self.mean, self.std))
                return augmented(images, draws, self.config, *scale)
            else:
                x = self._augmented(images, draws)
            x = _channels_last(x)
            return x.sub_(self.mean).div_(self.std)

    def _looped(self, images: Tensor) -> bool:
        """Whether a compiled loop does it, whose results differ from torch's by rounding."""
        plain = images.dtype == torch.uint8 and not torch.compiler.is_compiling()
        if self.config.rand_augment or not plain:
            return False
        return choose("augment", self.mean, ("numba", "torch")) == "numba" and not images.is_cuda

    def _augmented(self, images: Tensor, draws: Tensor) -> Tensor:
        c = self.config
        x = self._move(_unit(images), draws[:, :6], draws[:, 16:20])
        if c.rand_augment:
            pixels = (x * 255).round_().to(torch.uint8)
            x = _unit(rand_augment(pixels, draws[:, 20 : 20 + c.rand_augment], c.rand_magnitude))
        x = self._recolour(x, draws[:, 6:11])
        return self._erase(x, draws[:, 11:16])

    def _move(self, x: Tensor, u: Tensor, crop: Tensor) -> Tensor:
        """Zoom, turn, shift and mirror what a window of each picture shows, sampled once."""
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
        side = x.size(-1)
        if c.crop_scale is not None:
            windows = random_windows(crop, side, c.crop_scale, c.crop_ratio)
            theta = into_windows(theta, windows, side)
        elif side != c.size:
            theta = into_windows(theta, centre_windows(len(x), side, c.size, x.device), side)
        grid = _affine_grid(theta, c.size)
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
        pixels = x.reshape(len(x), 3, -1)
        return torch.baddbmm(offset[:, :, None], matrix, pixels).clamp_(0, 1).view(x.shape)

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


def _row(values: tuple[float, ...], size: int) -> Tensor:
    """One row of an image, channels_last: added to images of that layout four times as fast."""
    row = torch.tensor(values).view(1, 3, 1, 1).expand(1, 3, 1, size)
    return row.contiguous(memory_format=torch.channels_last)


def _affine_grid(theta: Tensor, side: int) -> Tensor:
    """`F.affine_grid` for square pictures, several times as fast on a CPU: `[B, S, S, 2]`."""
    centres = (2 * torch.arange(side, device=theta.device) + 1) / side - 1
    grid = theta.new_empty(len(theta), side, side, 2)
    for axis in (0, 1):
        along = theta[:, axis, 0, None] * centres
        down = theta[:, axis, 1, None] * centres + theta[:, axis, 2, None]
        torch.add(along[:, None, :], down[:, :, None], out=grid[..., axis])
    return grid


def _channels_last(x: Tensor) -> Tensor:
    """In that layout; from planes, this is up to four times as fast as `contiguous`."""
    if x.is_contiguous(memory_format=torch.channels_last):
        return x
    return torch.stack(x.unbind(1), dim=3).permute(0, 3, 1, 2)


def _unit(images: Tensor) -> Tensor:
    return images.to(torch.float32).div_(255)


def _hue(turn: Tensor) -> Tensor:
    """Rotation by `turn` (fraction of half a circle) about the grey axis: `[B, 3, 3]`."""
    angle = turn * math.pi
    cos, sin = torch.cos(angle).view(-1, 1, 1), torch.sin(angle).view(-1, 1, 1)
    third = 1 / 3
    eye = torch.eye(3, device=turn.device)
    average = torch.full((3, 3), third, device=turn.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=turn.device)
    return cos * eye + (1 - cos) * average + sin * math.sqrt(third) * cross
