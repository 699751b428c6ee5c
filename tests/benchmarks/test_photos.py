"""The photographs that decoders are timed on: different, the same every time, whole."""

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

pytest.importorskip("sklearn", reason="the photographs are scikit-learn's")

from benchmarks.photos import photos


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_jpegs_of_four_shapes():
    found = photos(17, short=60)
    images = [opened(data) for data in found]
    assert {(image.format, image.mode) for image in images} == {("JPEG", "RGB")}
    turns = [(60, 60), (60, 60), (80, 60), (80, 60), (90, 60), (90, 60), (60, 80), (60, 80)]
    assert [image.size for image in images] == [*turns, *turns, (60, 60)]
    # Pillow's number of 4:2:0.
    assert {JpegImagePlugin.get_sampling(image) for image in images} == {2}


def test_all_are_different_and_none_is_flat():
    found = photos(64, short=48)
    assert len(set(found)) == len(found)
    pixels = [np.asarray(opened(data)).astype(int) for data in found]
    assert min(one.std() for one in pixels) > 5
    squares = [one for one in pixels if one.shape == (48, 48, 3)]
    assert min(np.abs(a - b).mean() for a, b in pairwise(squares)) > 5


def test_the_seed_decides():
    assert photos(5, short=40) == photos(9, short=40)[:5]
    assert not set(photos(5, short=40)) & set(photos(5, short=40, seed=1))


def test_square_pngs():
    images = [opened(data) for data in photos(6, side=32)]
    assert {(image.format, image.size) for image in images} == {("PNG", (32, 32))}


@pytest.mark.parametrize("short", [256, 500])
def test_windows_lie_within_the_photographs(short):
    # Pillow refuses a window that does not.
    assert {min(opened(data).size) for data in photos(16, short=short)} == {short}
