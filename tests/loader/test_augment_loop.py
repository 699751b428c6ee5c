"""The compiled augmentation against that of torch's operations."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.config import ImageConfig
from graphrise.errors import ConfigError
from graphrise.loader import augment_loop
from graphrise.loader.augment import Augment, augment_draws
from graphrise.loader.augment_loop import augmented

MEAN, STD = (0.4, 0.5, 0.3), (0.25, 0.5, 0.4)
CONSTANTS = tuple(torch.tensor(of) for of in (MEAN, STD))
AMOUNTS = st.sampled_from([0.0, 0.2, 0.7])
CONFIGS = st.builds(
    ImageConfig,
    size=st.integers(8, 21),
    crop_pct=st.sampled_from([0.5, 0.8, 1.0]),
    scale=AMOUNTS,
    shift=AMOUNTS,
    rotate=st.sampled_from([0.0, 15.0, 180.0]),
    flip=st.booleans(),
    crop_scale=st.sampled_from([None, (0.2, 0.6), (1.0, 1.0)]),
    crop_ratio=st.sampled_from([(0.75, 4 / 3), (2.0, 3.0)]),
    colour=AMOUNTS,
    grey=AMOUNTS,
    erase=st.sampled_from([0.0, 0.5, 1.0]),
)


def pictures(count, side, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def by_torch(monkeypatch, config, images, draws):
    with monkeypatch.context() as patch:
        patch.setenv("GRAPHRISE_BACKEND", "torch")
        return Augment(config, MEAN, STD)(images, draws)


# Derandomized: a window may be off by a pixel, once in many runs.
@settings(deadline=None, derandomize=True)
@given(CONFIGS, st.integers(0, 9), st.integers(0, 99), st.booleans())
def test_equals_torch(config, count, seed, canvas):
    images = pictures(count, config.canvas if canvas else config.size, seed)
    draws = augment_draws(seed, 1, np.arange(count))
    with pytest.MonkeyPatch.context() as patch:
        want = by_torch(patch, config, images, draws)
    found = augmented(images, draws, config, *CONSTANTS)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    # A place that is off by a millionth of the side, between a black and a white pixel, by STD.
    torch.testing.assert_close(found, want, rtol=0, atol=2e-6 * images.size(-1) / min(STD) + 1e-5)


def test_ends_of_the_draws():
    config = ImageConfig(
        size=12, crop_pct=0.8, flip=True, grey=0.5, erase=1.0, crop_scale=(0.3, 1.0)
    )
    images = pictures(2, config.canvas)
    draws = torch.zeros_like(augment_draws(0, 0, np.arange(2)))
    draws[1] = 1.0
    with pytest.MonkeyPatch.context() as patch:
        want = by_torch(patch, config, images, draws)
    found = augmented(images, draws, config, *CONSTANTS)
    torch.testing.assert_close(found, want, rtol=0, atol=2e-4)


def test_any_layout_and_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(augment_loop, "_PIXELS", 1 << 12)
    config, threads = ImageConfig(size=64, erase=0.5), torch.get_num_threads()
    images, draws = pictures(40, 64), augment_draws(0, 0, np.arange(40))
    want = augmented(images, draws, config, *CONSTANTS)
    spread = torch.empty(40, 3, 64, 128, dtype=torch.uint8)[..., ::2].copy_(images)
    wide = torch.zeros(40, 48)[:, ::2].copy_(draws)
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            for given_ in (images, images.contiguous(memory_format=torch.channels_last), spread):
                assert torch.equal(augmented(given_, wide, config, *CONSTANTS), want)
    finally:
        torch.set_num_threads(threads)


def test_it_is_what_a_cpu_takes(monkeypatch):
    monkeypatch.delenv("GRAPHRISE_BACKEND", raising=False)
    config = ImageConfig(size=16)
    module, images, draws = (
        Augment(config, MEAN, STD),
        pictures(5, 16),
        augment_draws(1, 2, np.arange(5)),
    )
    want = augmented(images, draws, config, *CONSTANTS)
    assert torch.equal(module(images, draws), want)
    monkeypatch.setenv("GRAPHRISE_BACKEND", "torch")
    assert not torch.equal(module(images, draws), want)
    monkeypatch.setenv("GRAPHRISE_BACKEND", "pears")
    with pytest.raises(ConfigError, match="pears: no such backend"):
        module(images, draws)


def test_rand_augment_is_left_to_torch(monkeypatch):
    config = ImageConfig(size=16, rand_augment=2)
    images, draws = pictures(5, 16), augment_draws(1, 2, np.arange(5))
    found = Augment(config, MEAN, STD)(images, draws)
    assert torch.equal(found, by_torch(monkeypatch, config, images, draws))


# Where tests before this one compiled without caches, torch says so.
@pytest.mark.filterwarnings("ignore:dynamo_pgo force disabled:UserWarning")
def test_torch_compile_takes_torch(monkeypatch):
    config = ImageConfig(size=16)
    module, draws = Augment(config, MEAN, STD), augment_draws(1, 2, np.arange(5))
    images = pictures(5, 16)
    found = torch.compile(module, backend="eager")(images, draws)
    torch.testing.assert_close(found, by_torch(monkeypatch, config, images, draws))


def test_whatever_torchs_default_dtype_is():
    config = ImageConfig(size=16)
    images, draws = pictures(2, 16), augment_draws(1, 2, np.arange(2))
    want = augmented(images, draws, config, *CONSTANTS)
    torch.set_default_dtype(torch.float64)
    try:
        found = augmented(images, draws, config, *CONSTANTS)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found, want)
    assert found.dtype == torch.float32


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30, -3.0])
def test_draws_out_of_range_read_no_other_memory(value):
    config = ImageConfig(size=16, crop_scale=(0.3, 1.0), erase=0.5)
    images = torch.full((4, 3, 16, 16), 255, dtype=torch.uint8)
    draws = torch.full_like(augment_draws(1, 2, np.arange(4)), value)
    # Whatever is sampled of white pictures is white, unless the recolouring made it something else.
    off = dataclasses.replace(config, colour=0.0, grey=0.0)
    for one, allowed in ((config, None), (off, [1.0])):
        found = augmented(images, draws, one, torch.zeros(3), torch.ones(3))
        assert found.shape == images.shape
        if allowed is not None:
            assert found.unique().tolist() == pytest.approx(allowed)
