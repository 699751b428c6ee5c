"""The window of a picture that the encoder sees: the centre, or a random one of each image."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def centre_crop(images: Tensor, size: int) -> Tensor:
    """The central square of `[B, 3, S, S]` images, a view `[B, 3, size, size]`."""
    first = first_of(images.size(-1), size)
    return images[..., first : first + size, first : first + size]


def centre_windows(count: int, side: int, size: int, device: torch.device) -> Tensor:
    """What `centre_crop` cuts out of pictures of side `side`, as windows (see `into_windows`)."""
    first = float(first_of(side, size))
    window = torch.tensor([first, first, size, size], dtype=torch.float32)
    return window.to(device, non_blocking=True).expand(count, 4)


def random_windows(
    u: Tensor, side: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> Tensor:
    """Windows of random area and shape, wholly inside the picture.

    Where a window of the drawn area and shape does not fit, its shape moves towards the picture's;
    where the range of shapes forbids that, too, the window shrinks. So nothing is drawn again.

    Args:
        u: float32 `[B, 4]` in [0, 1]: area, shape, left edge, top edge.
        side: Of the picture, pixels.
        scale: Range of the area, share of the picture's, in (0, 1].
        ratio: Range of width over height.

    Returns:
        float32 `[B, 4]`, whole pixels: left, top, width, height.
    """
    area = scale[0] + u[:, 0] * (scale[1] - scale[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    shape = torch.exp(low + u[:, 1] * (high - low))
    shape = shape.clamp(area, 1 / area).clamp_(*ratio)
    area = torch.minimum(area, torch.minimum(shape, 1 / shape))
    extent = torch.stack((torch.sqrt(area * shape), torch.sqrt(area / shape)), dim=1)
    extent = (side * extent).round_().clamp_(1, side)
    # A draw is below 1 but for its rounding to float32.
    corner = torch.minimum((u[:, 2:4] * (side - extent + 1)).floor_(), side - extent)
    return torch.cat((corner, extent), dim=1)


def into_windows(theta: Tensor, windows: Tensor, side: int) -> Tensor:
    """An affine move of the whole picture as the same move of each image's window.

    Args:
        theta: float32 `[B, 2, 3]`, as `affine_grid` takes them.
        windows: float32 `[B, 4]`, left, top, width, height in pixels.
        side: Of the picture, pixels.

    Returns:
        float32 `[B, 2, 3]`. With a `theta` that does nothing, the window resized.
    """
    corner, extent = windows[:, :2], windows[:, 2:]
    moved = theta * (extent / side)[:, :, None]
    moved[:, :, 2] += (2 * corner + extent) / side - 1
    return moved


def first_of(side: int, size: int) -> int:
    """Where the central square of `size` pixels begins in a side of `side`."""
    # Rounded as torchvision and timm do, so that weights of theirs see the same pixels.
    return round((side - size) / 2)
