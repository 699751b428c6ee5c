"""One picture as a pack keeps it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from graphrise.images.bad import BadImage
from graphrise.images.codec import turbo
from graphrise.images.decode import Picture, read_rgb
from graphrise.images.jpeg_header import is_jpeg, read_header

SMALL = 64
"""Short side in pixels up to which a picture that is not a JPEG stays lossless."""


@dataclass(frozen=True, slots=True)
class Repacked:
    """A picture to store.

    Attributes:
        data: Encoded, JPEG or PNG.
        height: Pixels.
        width: Pixels.
        kept: `data` is the source, byte for byte.
    """

    data: bytes | memoryview
    height: int
    width: int
    kept: bool


def repack(data: bytes | memoryview, side: int, quality: int) -> Repacked:
    """Make a picture small and quick to decode: RGB, upright, short side at most `side`.

    A JPEG that is so already is kept, since encoding it again would only lose detail.

    Args:
        data: Encoded picture.
        side: Short side in pixels; a smaller picture is not enlarged.
        quality: Of the JPEG, 1..100.

    Raises:
        BadImage: It cannot be decoded, or is too long and thin for a JPEG.
    """
    # Twice the side: done once, so the last bit of sharpness is worth the time.
    picture = read_rgb(data, 2 * side)
    view = memoryview(data)
    if is_jpeg(view):
        header = read_header(view)
        plain = header.components != 4 and header.orientation == 1
        if plain and min(header.height, header.width) <= side:
            return Repacked(data, header.height, header.width, kept=True)
    pixels = _shrunk(picture, side)
    height, width, _ = pixels.shape
    if not is_jpeg(view) and min(picture.pixels.shape[:2]) <= SMALL:
        # Icons and drawings of this size are edges all over, which JPEG smears.
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return Repacked(file.getvalue(), height, width, kept=False)
    try:
        encoded = turbo().encode_jpeg(pixels, quality, "RGB", "420")
    except ValueError as error:
        raise BadImage(f"{width} x {height} pixels cannot be a JPEG ({error})") from error
    return Repacked(encoded, height, width, kept=False)


def _shrunk(picture: Picture, side: int) -> np.ndarray:
    short = min(picture.height, picture.width)
    if short <= side:
        return picture.pixels
    height, width = (max(side, round(x * side / short)) for x in (picture.height, picture.width))
    return np.asarray(picture.resized(height, width, crop=False))
