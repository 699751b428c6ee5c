"""JPEG to pixels through libjpeg-turbo: strict about damage, at a reduced size where asked."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

from graphrise.images.bad import BadImage
from graphrise.images.codec import turbo
from graphrise.images.jpeg_header import JpegHeader, plain

_EXTRA = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


def reduction(header: JpegHeader, side: int) -> int:
    """How much smaller (1, 2, 4 or 8 times) it can be decoded with its short side >= `side`."""
    short = min(header.height, header.width)
    return next(factor for factor in (8, 4, 2, 1) if factor == 1 or short >= factor * side)


def decode_jpeg(
    data: memoryview, header: JpegHeader, factor: int = 1, out: np.ndarray | None = None
) -> np.ndarray:
    """Decode, unrotated.

    Args:
        data: The JPEG.
        header: Its header.
        factor: 1, 2, 4 or 8: decode at this fraction of the size.
        out: uint8 `[height, width, 3]`, contiguous, to decode into; None makes one.

    Returns:
        uint8 `[ceil(height / factor), ceil(width / factor), 3]`, RGB.

    Raises:
        BadImage: It is cut off, its data is corrupt, or its kind is not supported.
    """
    cmyk = header.components == 4
    options = {
        "colorspace": "CMYK" if cmyk else "RGB",
        "min_height": -(-header.height // factor) if factor > 1 else 0,
        "min_width": -(-header.width // factor) if factor > 1 else 0,
        "buffer": out,
    }
    try:
        pixels = turbo().decode_jpeg(data, **options)
    except ValueError as error:
        try:
            pixels = turbo().decode_jpeg(_without_flaws(data, header, str(error)), **options)
        except ValueError as damage:
            raise BadImage(damage) from None
    return _cmyk_to_rgb(pixels) if cmyk else pixels


def _without_flaws(data: memoryview, header: JpegHeader, warning: str) -> bytes:
    """Drop what libjpeg only warns of and no picture suffers from.

    That is an odd JFIF or Adobe segment, junk between segments, and zeros between the data and the
    end marker. Other bytes left over there are data that lost its place: a corrupt picture.
    """
    clean = plain(data, header)
    extra = _EXTRA.search(warning)
    if extra:
        end = clean.find(b"\xff\xd9", clean.find(b"\xff\xda"))
        start = end - int(extra[1])
        if not any(clean[start:end]):
            clean = clean[:start] + clean[end:]
    return clean


def _cmyk_to_rgb(pixels: np.ndarray) -> np.ndarray:
    height, width, _ = pixels.shape
    # Adobe stores ink upside down, and so does everybody since.
    image = Image.frombytes("CMYK", (width, height), pixels.tobytes(), "raw", "CMYK;I")
    return np.asarray(image.convert("RGB"))
