"""A photo-like picture, what Pillow makes of one, and the damaged pictures."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from graphrise.images.decode import decode


def photo(width=320, height=240, seed=0):
    """Smooth colours with some detail, as a photo has them."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    fine = np.random.default_rng(seed).integers(-12, 13, (height, width, 3))
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return Image.fromarray(np.clip(np.asarray(smooth) + fine, 0, 255).astype(np.uint8))


def truth(data, side):
    """The square that Pillow alone makes of an encoded picture without alpha."""
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    fitted = ImageOps.fit(upright, (side, side), Image.Resampling.BICUBIC)
    return np.asarray(fitted).astype(int)


def decoded(data, side, **options):
    out = np.empty((side, side, 3), dtype=np.uint8)
    decode(data, side, out, **options)
    return out.astype(int)


class Pictures:
    """The functions above, for tests: a conftest cannot be imported."""

    photo = staticmethod(photo)
    truth = staticmethod(truth)
    decoded = staticmethod(decoded)


@pytest.fixture(scope="session")
def pictures():
    return Pictures


@pytest.fixture(scope="session")
def wrecks():
    """The module wrecks.py, which lies beside this file."""
    spec = importlib.util.spec_from_file_location("wrecks", Path(__file__).with_name("wrecks.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
