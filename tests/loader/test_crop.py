"""Canvas, centre crop and random resized crop, against torchvision's on the same windows."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.config import ImageConfig
from graphrise.errors import ConfigError
from graphrise.loader.augment import DRAWS, Augment, augment_draws
from graphrise.loader.crop import centre_crop, random_windows

ZEROS, ONES = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def still(**fields):
    """An Augment that only crops, in 0..1."""
    config = ImageConfig(scale=0, shift=0, rotate=0, colour=0, **fields)
    return Augment(config, ZEROS, ONES)


def pictures(count, side):
    generator = torch.Generator().manual_seed(side)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def smooth(count, side):
    """Pictures without an edge, so that a sample's place shows in its value and little else."""
    x = torch.nn.functional.interpolate(pictures(count, 4).float(), size=side, mode="bicubic")
    return x.clamp(0, 255).round().to(torch.uint8)


@pytest.mark.parametrize(
    ("size", "crop_pct", "canvas"),
    [(224, 0.875, 256), (224, 0.95, 236), (224, 1.0, 224), (8, 0.5, 16)],
)
def test_canvas(size, crop_pct, canvas):
    assert ImageConfig(size=size, crop_pct=crop_pct).canvas == canvas


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crop_pct": 0.4}, r"images\.crop_pct"),
        ({"crop_pct": float("nan")}, r"images\.crop_pct"),
        ({"crop_scale": (0.0, 1.0)}, r"images\.crop_scale.*0\.0"),
        ({"crop_scale": (0.9, 0.5)}, r"images\.crop_scale"),
        ({"crop_scale": (0.9,)}, r"images\.crop_scale"),
        ({"crop_ratio": (0.0, 1.0)}, r"images\.crop_ratio"),
        ({"crop_ratio": (0.5, float("inf"))}, r"images\.crop_ratio"),
        ({"rand_augment": 5}, r"images\.rand_augment"),
        ({"rand_magnitude": 31}, r"images\.rand_magnitude"),
    ],
)
def test_out_of_range_names_the_setting(values, message):
    with pytest.raises(ConfigError, match=message):
        ImageConfig(**values)


@pytest.mark.parametrize("side", [16, 20, 21, 23, 31, 32])
def test_centre_crop_is_torchvisions(side):
    x = pictures(2, side)
    assert torch.equal(centre_crop(x, 16), tv.center_crop(x, [16, 16]))


@pytest.mark.parametrize("crop_pct", [1.0, 0.8, 0.7, 0.5])
def test_without_draws_the_centre_is_cut_out_exactly(crop_pct):
    module = still(size=16, crop_pct=crop_pct)
    x = pictures(3, module.config.canvas)
    assert torch.equal(module(x), tv.center_crop(x, [16, 16]).float() / 255)
    small = pictures(3, 16)
    assert torch.equal(module(small), small.float() / 255)


@pytest.mark.parametrize("crop_pct", [0.8, 0.7, 0.5])
def test_without_strength_a_move_samples_the_centre(crop_pct):
    module = still(size=16, crop_pct=crop_pct)
    x = pictures(3, module.config.canvas)
    got = module(x, augment_draws(0, 0, np.arange(3)))
    torch.testing.assert_close(got, module(x), rtol=0, atol=1e-5)


def test_a_shift_shows_the_picture_beyond_the_centre():
    config = ImageConfig(size=16, crop_pct=0.5, scale=0, shift=0.25, rotate=0, colour=0)
    draws = torch.full((1, DRAWS), 0.5)
    draws[:, 2] = 1.0
    x = pictures(1, 32)
    got = Augment(config, ZEROS, ONES)(x, draws)
    # A quarter of what the encoder sees: 4 pixels to the right of the centre's 8.
    torch.testing.assert_close(got, x[:, :, 8:24, 12:28].float() / 255, rtol=0, atol=1e-5)


@pytest.mark.parametrize("crop_pct", [1.0, 0.8])
def test_random_crop_is_torchvisions_resized_crop(crop_pct):
    module = still(size=32, crop_pct=crop_pct, crop_scale=(0.1, 1.0))
    side = module.config.canvas
    x, draws = smooth(40, side), augment_draws(0, 0, np.arange(40))
    windows = random_windows(draws[:, 16:20], side, (0.1, 1.0), (3 / 4, 4 / 3))
    got = module(x, draws)
    for i, (left, top, width, height) in enumerate(windows.int().tolist()):
        want = tv.resized_crop(
            x[i].float() / 255, top, left, height, width, [32, 32], antialias=False
        )
        # At the rim torchvision repeats the window's last pixel, here the picture goes on.
        rim = int(np.ceil(32 / min(width, height) / 2))
        inner = slice(rim, 32 - rim)
        torch.testing.assert_close(
            got[i][:, inner, inner], want[:, inner, inner], rtol=0, atol=2e-5
        )


def test_crop_and_flip_compose():
    plain = still(size=32, crop_scale=(0.3, 0.6))
    flipped = still(size=32, crop_scale=(0.3, 0.6), flip=True)
    x, draws = smooth(6, 32), augment_draws(0, 0, np.arange(6))
    draws[:, 4] = 0.1
    torch.testing.assert_close(flipped(x, draws), plain(x, draws).flip(3), rtol=0, atol=2e-5)


unit = st.floats(0, 1, width=32)


@given(
    st.lists(st.tuples(unit, unit, unit, unit), min_size=1, max_size=8),
    st.integers(8, 300),
    st.tuples(st.floats(1e-4, 1), st.floats(1e-4, 1)).map(lambda p: (min(p), max(p))),
    st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)).map(lambda p: (min(p), max(p))),
)
@settings(max_examples=200, deadline=None)
def test_windows_are_whole_pixels_inside_the_picture(draws, side, scale, ratio):
    windows = random_windows(torch.tensor(draws), side, scale, ratio)
    assert torch.equal(windows, windows.round())
    corner, extent = windows[:, :2], windows[:, 2:]
    assert (corner >= 0).all()
    assert (extent >= 1).all()
    assert (corner + extent <= side).all()


def test_windows_have_the_area_and_shape_asked_for():
    u = augment_draws(0, 0, np.arange(4000))[:, 16:20]
    side, scale, ratio = 10_000, (0.1, 0.9), (0.5, 2.0)
    left, top, width, height = random_windows(u, side, scale, ratio).double().unbind(dim=1)
    area = width * height / side**2
    # The shape gives way to the area, never the other way round where square windows are allowed.
    torch.testing.assert_close(area, 0.1 + 0.8 * u[:, 0].double(), rtol=0, atol=3e-4)
    shape = width / height
    assert ((shape > 0.499) & (shape < 2.002)).all()
    fits = area < 0.5
    want = torch.exp((2 * u[:, 1].double() - 1) * np.log(2))
    torch.testing.assert_close(shape[fits], want[fits], rtol=2e-3, atol=0)
    for first, extent in ((left, width), (top, height)):
        room = side - extent
        share = (first / room)[room > 1000]
        assert share.mean().item() == pytest.approx(0.5, abs=0.02)
        assert share.min() < 0.01
        assert share.max() > 0.99


@pytest.mark.parametrize("ratio", [(2.0, 3.0), (1 / 3, 1 / 2), (3 / 4, 4 / 3)])
def test_what_does_not_fit_is_cut_as_torchvision_does(ratio):
    draws = torch.tensor([[1.0, 0.7, 0.5, 0.5]])
    window = random_windows(draws, 60, (1.0, 1.0), ratio)
    want = {2.0: [0, 15, 60, 30], 1 / 3: [15, 0, 30, 60], 3 / 4: [0, 0, 60, 60]}[ratio[0]]
    assert window.tolist() == [want]
