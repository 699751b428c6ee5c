"""What the draws of an image mean on a CPU: where it is sampled, how recoloured, what is erased.

The formulas are `augment.Augment`'s, of one image, in double precision: of random crops a few of a
hundred thousand are a pixel off those in float32.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from graphrise.config import ImageConfig
from graphrise.loader.crop import first_of
from graphrise.ops.cpu.inlined import inlined
from graphrise.ops.cpu.jit import compiled


class Strengths(NamedTuple):
    """Strengths of an `ImageConfig`, as a compiled loop takes them.

    Attributes:
        zoom: Logarithm of the largest zoom.
        angle: Largest turn in radians.
        shift: Largest shift, sides of a grid that is 2 wide.
        flip: Whether half of the pictures are mirrored.
        first: Where the centred window begins, pixels.
        low: Smallest area of a random window, share of the picture's; 0: no random window.
        high: Largest.
        narrow: Smallest width over height of a random window.
        wide: Largest.
        colour: Strength of recolouring.
        grey: Probability of dropping the colour.
        erase: Probability of blanking a rectangle.
    """

    zoom: float
    angle: float
    shift: float
    flip: bool
    first: float
    low: float
    high: float
    narrow: float
    wide: float
    colour: float
    grey: float
    erase: float


def strengths(config: ImageConfig, side: int) -> Strengths:
    """Strengths of a run.

    Args:
        config: Its settings.
        side: Of the pictures as they are read, pixels.
    """
    low, high = config.crop_scale or (0.0, 0.0)
    return Strengths(
        zoom=math.log1p(config.scale),
        angle=math.radians(config.rotate),
        shift=2 * config.shift,
        flip=config.flip,
        first=float(first_of(side, config.size)),
        low=low,
        high=high,
        narrow=config.crop_ratio[0],
        wide=config.crop_ratio[1],
        colour=config.colour,
        grey=config.grey,
        erase=config.erase,
    )


@inlined
def _window(u: np.ndarray, by: Strengths, side: int, size: int, into: np.ndarray) -> None:
    """Left, top, width and height in pixels: the centre, or `crop.random_windows` of a draw."""
    into[0], into[1], into[2], into[3] = by.first, by.first, size, size
    if by.low > 0:
        area = by.low + u[16] * (by.high - by.low)
        shape = math.exp(math.log(by.narrow) + u[17] * (math.log(by.wide) - math.log(by.narrow)))
        shape = min(max(min(max(shape, area), 1 / area), by.narrow), by.wide)
        area = min(area, shape, 1 / shape)
        for axis, root in enumerate((math.sqrt(area * shape), math.sqrt(area / shape))):
            extent = min(max(np.rint(side * root), 1.0), float(side))
            into[2 + axis] = extent
            into[axis] = min(math.floor(u[18 + axis] * (side - extent + 1)), side - extent)


@inlined
def _placing(u: np.ndarray, by: Strengths, side: int, size: int, into: np.ndarray) -> None:
    """The affine map `[2, 3]`, in rows, from the encoder's grid to the picture's."""
    zoom = math.exp((2 * u[0] - 1) * by.zoom)
    angle = (2 * u[1] - 1) * by.angle
    mirror = -1.0 if by.flip and u[4] < np.float32(0.5) else 1.0
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    box = np.empty(4)
    _window(u, by, side, size, box)
    for axis in range(2):
        share = box[2 + axis] / side
        into[3 * axis] = (cos if axis == 0 else sin) * mirror * share
        into[3 * axis + 1] = (-sin if axis == 0 else cos) * share
        moved = (2 * u[2 + axis] - 1) * by.shift * share
        into[3 * axis + 2] = moved + (2 * box[axis] + box[2 + axis]) / side - 1


@inlined
def _recolouring(u: np.ndarray, by: Strengths, into: np.ndarray) -> None:
    """The matrix `[3, 3]`, in rows, and last what share of a channel's mean is added to it."""
    bright, contrast, saturation, turn = [(2 * u[6 + k] - 1) * by.colour for k in range(4)]
    kept = (1 + saturation) * (0.0 if u[10] < np.float32(by.grey) else 1.0)
    gain = (1 + bright) * (1 + contrast)
    cos, sin = math.cos(turn * math.pi), math.sin(turn * math.pi) * math.sqrt(1 / 3)
    luma = (0.299, 0.587, 0.114)
    hue = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            # About the grey axis: cross is -1 to the next channel, 1 to the one before.
            cross = 0.0 if i == j else (-1.0 if (i + 1) % 3 == j else 1.0)
            hue[i, j] = (cos if i == j else 0.0) + (1 - cos) / 3 + sin * cross
    for i in range(3):
        for j in range(3):
            total = 0.0
            for k in range(3):
                total += ((kept if i == k else 0.0) + (1 - kept) * luma[k]) * hue[k, j]
            into[3 * i + j] = gain * total
    into[9] = -contrast


@inlined
def _hole(u: np.ndarray, by: Strengths, into: np.ndarray) -> bool:
    """Whether a rectangle is blanked: its first row and column, and its last, in shares."""
    for axis in range(2):
        extent = 0.2 + 0.3 * u[12 + axis]
        into[axis] = u[14 + axis] * (1 - extent)
        into[2 + axis] = into[axis] + extent
    return u[11] < np.float32(by.erase)


@compiled
def meanings(
    draws: np.ndarray,
    by: Strengths,
    side: int,
    size: int,
    theta: np.ndarray,
    matrix: np.ndarray,
    box: np.ndarray,
) -> None:
    """Fill in what the draws of each image mean.

    Args:
        draws: float32 `[B, DRAWS]`.
        by: Strengths.
        side: Of the pictures, pixels.
        size: Of what is made of them.
        theta: float32 `[B, 6]`, `[2, 3]` in rows: the affine map from the encoder's grid.
        matrix: float32 `[B, 10]`: `[3, 3]` in rows, and last the share of a channel's mean that is
            added to it.
        box: float32 `[B, 4]`: first row and column of the rectangle that is blanked, and its last,
            in shares of the side; NaN: none is.
    """
    one, two, three = np.empty(6), np.empty(10), np.empty(4)
    for image in range(draws.shape[0]):
        u = draws[image]
        _placing(u, by, side, size, one)
        _recolouring(u, by, two)
        if not _hole(u, by, three):
            three[:] = np.nan
        theta[image], matrix[image], box[image] = one, two, three
