"""Augmentation of pictures on a CPU, all of a batch in one call.

What `augment.Augment` does by some seventy operations of torch, which is what this is held against:
in half of their time on one thread, and with Python's lock taken once.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphrise.config import ImageConfig
from graphrise.loader.augment_draws import meanings, strengths
from graphrise.ops.cpu.inlined import inlined
from graphrise.ops.cpu.jit import compiled, even_parts, run_parts

_PIXELS = 1 << 19
"""A thread's least work, some 6 ms: below it another gains nothing beside torch's idle ones, which
go on turning for a while."""


@inlined
def _unit(image: np.ndarray, into: np.ndarray) -> None:
    """`[S, S, 3]` bytes to `[S^2, 4]` in [0, 1]: four neighbouring numbers are one register."""
    source, flat = image.ravel(), into.ravel()
    for p in range(into.shape[0]):
        # Unsigned: numba asks of every other index whether it counts from the end.
        a, b = np.uintp(4 * p), np.uintp(3 * p)
        for c in range(3):
            k = np.uintp(c)
            flat[a + k] = np.float32(source[b + k]) / np.float32(255)


@inlined
def _sample(image: np.ndarray, width: int, theta: np.ndarray, side: int, into: np.ndarray) -> None:
    """Bilinear samples of `[S^2, 4]` at an affine grid, borders repeated, to `[side^2, 4]`."""
    source, target = image.ravel(), into.ravel()
    half, last = np.float32(width) / np.float32(2), np.float32(width - 1)
    one, zero = np.float32(1), np.float32(0)
    for i in range(side):
        down = np.float32(2 * i + 1) / np.float32(side) - one
        x_row, y_row = theta[1] * down + theta[2] + one, theta[4] * down + theta[5] + one
        for j in range(side):
            along = np.float32(2 * j + 1) / np.float32(side) - one
            x = (theta[0] * along + x_row) * half - np.float32(0.5)
            y = (theta[3] * along + y_row) * half - np.float32(0.5)
            # Written so that NaN is a place inside, too.
            x, y = x if x > zero else zero, y if y > zero else zero
            x, y = x if x < last else last, y if y < last else last
            left, top = np.int32(x), np.int32(y)
            at = np.uintp(4 * (top * width + left))
            right = at + np.uintp(4 if left + 1 < width else 0)
            below = np.uintp(4 * width if top + 1 < width else 0)
            fx, fy = x - np.float32(left), y - np.float32(top)
            upper, upper_right = (one - fx) * (one - fy), fx * (one - fy)
            lower, lower_right = (one - fx) * fy, fx * fy
            p = np.uintp(4 * (i * side + j))
            for c in range(4):
                k = np.uintp(c)
                target[p + k] = (
                    source[at + k] * upper
                    + source[right + k] * upper_right
                    + source[at + below + k] * lower
                    + source[right + below + k] * lower_right
                )


@inlined
def _means(pixels: np.ndarray, into: np.ndarray) -> None:
    """Of each channel of `[P, 4]`."""
    into[:] = 0
    for p in range(pixels.shape[0]):
        for c in range(4):
            into[c] += pixels[p, c]
    into /= np.float32(pixels.shape[0])


@inlined
def _recolour(pixels: np.ndarray, matrix: np.ndarray, mean: np.ndarray) -> None:
    """A matrix and an offset, which is a share (`matrix[9]`) of the mean, in place, in [0, 1]."""
    zero, one = np.float32(0), np.float32(1)
    a, b, c = matrix[9] * mean[0], matrix[9] * mean[1], matrix[9] * mean[2]
    for p in range(pixels.shape[0]):
        red, green, blue = pixels[p, 0], pixels[p, 1], pixels[p, 2]
        x = matrix[0] * red + matrix[1] * green + matrix[2] * blue + a
        y = matrix[3] * red + matrix[4] * green + matrix[5] * blue + b
        z = matrix[6] * red + matrix[7] * green + matrix[8] * blue + c
        pixels[p, 0] = min(max(x, zero), one)
        pixels[p, 1] = min(max(y, zero), one)
        pixels[p, 2] = min(max(z, zero), one)


@inlined
def _erase(pixels: np.ndarray, side: int, hole: np.ndarray, mean: np.ndarray) -> None:
    """Fill a rectangle (top, left, bottom, right, in shares of the side, ends in) with the mean."""
    steps = np.float32(max(side - 1, 1))
    for i in range(side):
        down = np.float32(i) / steps
        for j in range(side):
            along = np.float32(j) / steps
            if hole[0] <= down <= hole[2] and hole[1] <= along <= hole[3]:
                pixels[i * side + j] = mean


@inlined
def _normalise(pixels: np.ndarray, mean: np.ndarray, std: np.ndarray, into: np.ndarray) -> None:
    """`[P, 4]` to `[3 P]`, without the fourth."""
    by = np.float32(1) / std
    for p in range(pixels.shape[0]):
        a = np.uintp(3 * p)
        for c in range(3):
            into[a + np.uintp(c)] = (pixels[p, c] - mean[c]) * by[c]


@compiled
def _augment(
    first: int,
    last: int,
    images: np.ndarray,
    theta: np.ndarray,
    matrix: np.ndarray,
    box: np.ndarray,
    recolours: bool,
    mean: np.ndarray,
    std: np.ndarray,
    out: np.ndarray,
) -> None:
    side, size = images.shape[1], out.shape[1]
    whole = np.zeros((side * side, 4), dtype=np.float32)
    pixels = np.empty((size * size, 4), dtype=np.float32)
    average = np.empty(4, dtype=np.float32)
    for image in range(first, last):
        _unit(images[image], whole)
        _sample(whole, side, theta[image], size, pixels)
        if recolours:
            _means(pixels, average)
            _recolour(pixels, matrix[image], average)
        if not np.isnan(box[image, 0]):
            _means(pixels, average)
            _erase(pixels, size, box[image], average)
        _normalise(pixels, mean, std, out[image].reshape(3 * size * size))


def augmented(
    images: Tensor, draws: Tensor, config: ImageConfig, mean: Tensor, std: Tensor
) -> Tensor:
    """`Augment` of CPU pictures, without RandAugment, on torch's number of threads at most.

    Shapes are `Augment`'s to check: a loop reads whatever lies there.

    Args:
        images: uint8 `[B, 3, S, S]`.
        draws: float32 `[B, DRAWS]`, in [0, 1].
        config: Strengths.
        mean: float32 `[3]`.
        std: float32 `[3]`.

    Returns:
        float32 `[B, 3, size, size]`, channels_last.
    """
    side, size, count = images.size(-1), config.size, len(images)
    meant = [np.empty((count, width), dtype=np.float32) for width in (6, 10, 4)]
    meanings(draws.contiguous().numpy(), strengths(config, side), side, size, *meant)
    out = torch.empty(count, size, size, 3, dtype=torch.float32, device="cpu")
    threads = min(torch.get_num_threads(), max(1, count * size * size // _PIXELS))
    parts = even_parts(np.zeros(count + 1, dtype=np.int64), threads)
    rows = images.permute(0, 2, 3, 1).contiguous().numpy()
    recolours = config.colour > 0 or config.grey > 0
    scale = mean.contiguous().numpy(), std.contiguous().numpy()
    run_parts(_augment, parts, rows, *meant, recolours, *scale, out.numpy())
    return out.permute(0, 3, 1, 2)
