"""Different photographs to decode, made of the two that scikit-learn carries."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from graphrise.errors import GraphriseError

SHAPES = ((1.0, 1.0), (4 / 3, 1.0), (1.5, 1.0), (1.0, 4 / 3))


def photos(count: int, *, short: int = 256, side: int | None = None, seed: int = 0) -> list[bytes]:
    """Encoded pictures, each another window of a photograph, half of them mirrored.

    Args:
        count: How many.
        short: Short side of the JPEGs (quality 90, 4:2:0) in pixels; 1:1, 4:3, 3:2 and 3:4 in
            turn.
        side: Square PNGs of this side instead.
        seed: The windows follow from it.

    Raises:
        GraphriseError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_sample_images
    except ImportError as error:
        raise GraphriseError(
            "the photographs are scikit-learn's: pip install scikit-learn"
        ) from error
    whole = [Image.fromarray(i) for i in load_sample_images().images]
    rng = np.random.default_rng(seed)
    found = []
    for n in range(count):
        picture = whole[n % len(whole)]
        wide, high = (1.0, 1.0) if side else SHAPES[n // len(whole) % len(SHAPES)]
        # At least as large as what is made of it, so that its detail is a photograph's.
        low = short / min(wide, high) / min(picture.size) * max(1.0, high)
        scale = rng.uniform(min(low, 1.0), 1.0) * min(picture.width / wide, picture.height / high)
        width, height = wide * scale, high * scale
        left, top = rng.random(2) * (picture.width - width, picture.height - height)
        size = (round(wide * short), round(high * short)) if side is None else (side, side)
        window = picture.resize(
            size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height)
        )
        if rng.random() < 0.5:
            window = window.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        buffer = io.BytesIO()
        if side is None:
            window.save(buffer, "JPEG", quality=90, subsampling="4:2:0")
        else:
            window.save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found
