"""Encoded bytes to a square RGB picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from graphrise.images.bad import BadImage as BadImage
from graphrise.images.bad import check_size
from graphrise.images.jpeg import decode_jpeg, reduction
from graphrise.images.jpeg_header import JpegHeader, is_jpeg, read_header
from graphrise.images.other_formats import decode_other

MAX_PIXELS = 178_956_970
"""Larger pictures are refused (decompression bombs); Pillow's own error limit."""


def decode(
    data: bytes | memoryview, side: int, out: np.ndarray, *, max_pixels: int = MAX_PIXELS
) -> None:
    """Decode into a given place: short side resized (bicubic, antialiased), centre cropped.

    EXIF rotation is applied, alpha composited on white. A picture whose short side is `side`
    already is not resized.

    Args:
        data: Encoded picture.
        side: Side of the square in pixels.
        out: uint8 `[side, side, 3]`, contiguous; undefined after an error.
        max_pixels: Limit of height times width, checked before decoding.

    Raises:
        BadImage: Damaged in a way that its format can tell, no picture, or too large.
    """
    view = _bytes_of(data)
    header = read_header(view) if is_jpeg(view) else None
    if header is None or not _fits(header, side):
        _fit(_read(view, header, side, max_pixels), side, out)
        return
    height, width = header.height, header.width
    # What a pack holds, hence quick: nothing to turn or to resize.
    check_size(height, width, max_pixels)
    if height == width:
        decode_jpeg(view, header, out=out)
    else:
        _crop(decode_jpeg(view, header), side, out)


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: uint8 `[H, W, 3]`, RGB, upright.
        box: The part of it that is picture: left, top, right, bottom. Decoded at half its size, an
            odd picture ends in half a pixel.
    """

    pixels: np.ndarray
    box: tuple[float, float, float, float]

    @property
    def height(self) -> float:
        """Of the box, in pixels."""
        return self.box[3] - self.box[1]

    @property
    def width(self) -> float:
        """Of the box, in pixels."""
        return self.box[2] - self.box[0]

    def resized(self, height: int, width: int, *, crop: bool) -> Image.Image:
        """At another size: all of it, or with `crop` the largest centred square."""
        left, top, right, bottom = self.box
        if crop:
            short = min(self.width, self.height)
            left, top = left + (self.width - short) / 2, top + (self.height - short) / 2
            right, bottom = left + short, top + short
        return Image.fromarray(self.pixels).resize(
            (width, height), Image.Resampling.BICUBIC, box=(left, top, right, bottom)
        )


def read_rgb(data: bytes | memoryview, side: int, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode upright; a much larger JPEG at 1/2, 1/4 or 1/8 of its size, which is faster.

    Args:
        data: Encoded picture.
        side: The short side stays at least this, if it was.
        max_pixels: Limit of height times width, checked before decoding.

    Raises:
        BadImage: As `decode`.
    """
    view = _bytes_of(data)
    return _read(view, read_header(view) if is_jpeg(view) else None, side, max_pixels)


def _read(view: memoryview, header: JpegHeader | None, side: int, max_pixels: int) -> Picture:
    if header is not None:
        check_size(header.height, header.width, max_pixels)
        factor = reduction(header, side)
        pixels, orientation = decode_jpeg(view, header, factor), header.orientation
        height, width = header.height / factor, header.width / factor
    else:
        pixels, orientation = decode_other(view, max_pixels)
        height, width, _ = pixels.shape
    return _upright(pixels, height, width, orientation)


def _bytes_of(data: bytes | memoryview) -> memoryview:
    view = memoryview(data).cast("B")
    if not view:
        raise BadImage("empty (0 bytes)")
    return view


def _fit(picture: Picture, side: int, out: np.ndarray) -> None:
    height, width, _ = picture.pixels.shape
    if min(height, width) == side:
        _crop(picture.pixels, side, out)
    else:
        out[...] = picture.resized(side, side, crop=True)


def _fits(header: JpegHeader, side: int) -> bool:
    short = min(header.height, header.width)
    return short == side and header.orientation == 1 and header.components != 4


def _crop(pixels: np.ndarray, side: int, out: np.ndarray) -> None:
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    out[...] = pixels[top : top + side, left : left + side]


def _upright(pixels: np.ndarray, height: float, width: float, orientation: int) -> Picture:
    if orientation >= 5:
        pixels, height, width = pixels.transpose(1, 0, 2), width, height
    rows, columns, _ = pixels.shape
    left = top = 0.0
    if orientation in (2, 3, 6, 7):
        pixels, left = pixels[:, ::-1], columns - width
    if orientation in (3, 4, 7, 8):
        pixels, top = pixels[::-1], rows - height
    box = left, top, left + width, top + height
    return Picture(np.ascontiguousarray(pixels), box)
