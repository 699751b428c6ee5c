"""The retrieval grid: right frames in the right cells, and refusals."""

import io

import numpy as np
import pytest
from PIL import Image

from graphrise.errors import DataError
from graphrise.evaluate.grid import retrieval_grid

GREEN = (0, 158, 115)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def green(png):
    return int((pixels(png) == GREEN).all(axis=2).sum())


@pytest.fixture
def red():
    return np.full((10, 20, 3), (200, 0, 0), dtype=np.uint8)


def test_frames_count_the_right_answers(red):
    rows = np.array([[0, 1, 2], [2, 1, 0]])
    gallery = {0: red, 1: red, 2: red}
    right = np.zeros((2, 3), dtype=bool)
    frames = []
    for place in [(0, 0), (0, 2), (1, 1)]:
        right[place] = True
        frames.append(green(retrieval_grid([red, red], gallery, {"a": rows}, {"a": right})))
    assert frames[0] > 0
    assert frames == [frames[0], 2 * frames[0], 3 * frames[0]]


def test_more_models_make_it_wider(red):
    rows, right = np.zeros((1, 4), dtype=np.int64), np.zeros((1, 4), dtype=bool)
    one = pixels(retrieval_grid([red], {0: red}, {"a": rows}, {"a": right}))
    names = ["a", "a model with a name of many words"]
    two = pixels(
        retrieval_grid([red], {0: red}, dict.fromkeys(names, rows), dict.fromkeys(names, right))
    )
    assert two.shape[1] > 1.7 * one.shape[1]
    assert (one == (200, 0, 0)).all(axis=2).any()


def test_refusals(red):
    rows, right = np.array([[0]]), np.array([[True]])
    with pytest.raises(DataError, match="at least one query"):
        retrieval_grid([], {}, {"a": rows}, {"a": right})
    with pytest.raises(DataError, match="lacks row 0"):
        retrieval_grid([red], {}, {"a": rows}, {"a": right})
    with pytest.raises(DataError, match="must both be"):
        retrieval_grid([red], {0: red}, {"a": rows}, {"b": right})
    with pytest.raises(DataError, match="expected uint8"):
        retrieval_grid([red / 255], {0: red}, {"a": rows}, {"a": right})
