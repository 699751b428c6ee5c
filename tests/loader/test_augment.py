"""Augmentation: a function of (seed, epoch, image), in range, and identity without strength."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.config import ImageConfig
from graphrise.errors import ConfigError
from graphrise.loader.augment import DRAWS, Augment, augment_draws

HALF = (0.5, 0.5, 0.5)
OFF: dict[str, Any] = {"scale": 0.0, "shift": 0.0, "rotate": 0.0, "colour": 0.0}
FULL: dict[str, Any] = {
    "scale": 0.3,
    "shift": 0.2,
    "rotate": 30.0,
    "colour": 0.5,
    "grey": 0.5,
    "erase": 0.5,
}
ALL: dict[str, Any] = FULL | {
    "flip": True,
    "crop_pct": 0.8,
    "crop_scale": (0.3, 1.0),
    "rand_augment": 2,
}


@pytest.fixture(params=["torch", "numba"], autouse=True)
def backend(request, monkeypatch):
    monkeypatch.setenv("GRAPHRISE_BACKEND", request.param)


def pictures(count=6, size=16):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


def augment(size=16, **strengths):
    return Augment(ImageConfig(size=size, **(OFF | strengths)), HALF, HALF)


def test_draws_are_a_function_of_seed_epoch_and_image():
    images = np.array([5, 0, 9])
    draws = augment_draws(1, 2, images)
    assert draws.shape == (3, DRAWS)
    assert draws.dtype == torch.float32
    assert ((draws >= 0) & (draws <= 1)).all()
    torch.testing.assert_close(augment_draws(1, 2, images[1:2])[0], draws[1], rtol=0, atol=0)
    for other in (augment_draws(2, 2, images), augment_draws(1, 3, images)):
        assert not torch.equal(other, draws)


def test_without_draws_it_only_normalises():
    x = pictures()
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    got = Augment(ImageConfig(size=16, flip=True, **FULL), mean, std)(x)
    want = (x.float() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(got, want)
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert got.dtype == torch.float32


def test_zero_strengths_are_the_identity():
    x = pictures()
    draws = augment_draws(0, 0, np.arange(len(x)))
    torch.testing.assert_close(augment()(x, draws), augment()(x), rtol=0, atol=2e-5)


@pytest.mark.parametrize("strengths", [FULL, ALL | {"crop_pct": 1.0}, {"colour": 0.9}])
def test_values_stay_in_range_and_move(strengths):
    x = pictures(32)
    got = augment(**strengths)(x, augment_draws(3, 1, np.arange(32)))
    assert got.shape == x.shape
    assert got.isfinite().all()
    # Mean and deviation of one half: [0, 1] becomes [-1, 1].
    assert got.min() >= -1 - 1e-5
    assert got.max() <= 1 + 1e-5
    assert ((got - augment()(x)).abs().amax(dim=(1, 2, 3)) > 0.05).all()


def test_an_image_does_not_depend_on_its_batch():
    x, draws = pictures(8, size=20), augment_draws(0, 5, np.arange(8))
    module = augment(**ALL)
    together = module(x, draws)
    for i in (0, 7):
        alone = module(x[i : i + 1], draws[i : i + 1])[0]
        torch.testing.assert_close(alone, together[i], rtol=1e-5, atol=1e-5)
    order = torch.tensor([3, 7, 1, 0])
    torch.testing.assert_close(module(x[order], draws[order]), together[order], rtol=0, atol=1e-5)


def test_input_is_left_alone():
    x = pictures()
    before = x.clone()
    augment(**ALL)(x, augment_draws(0, 0, np.arange(len(x))))
    torch.testing.assert_close(x, before)


def draws_of(count, **columns):
    """Middle draws (no move, no recolouring) with some columns set."""
    draws = torch.full((count, DRAWS), 0.5)
    for column, value in columns.items():
        draws[:, int(column[1:])] = value
    return draws


def test_mirror_is_a_mirror():
    x = pictures()
    got = augment(flip=True)(x, draws_of(len(x), u4=0.1))
    torch.testing.assert_close(got, augment()(x.flip(3)), rtol=0, atol=2e-5)
    kept = augment(flip=True)(x, draws_of(len(x), u4=0.9))
    torch.testing.assert_close(kept, augment()(x), rtol=0, atol=2e-5)


def test_shift_moves_by_whole_pixels():
    x = pictures()
    # Full positive draw of a shift of a quarter: four of sixteen pixels, the border repeated.
    got = augment(shift=0.25)(x, draws_of(len(x), u2=1.0))
    want = torch.cat((x[:, :, :, 4:], x[:, :, :, -1:].expand(-1, -1, -1, 4)), dim=3)
    torch.testing.assert_close(got, augment()(want), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("draw", "zoom"), [(1.0, 1.5), (0.0, 1 / 1.5), (0.5, 1.0)])
@pytest.mark.parametrize("angle", [0.0, 90.0])
def test_zoom_scales_the_area(draw, zoom, angle):
    x = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    x[:, :, 12:20, 12:20] = 255
    draws = draws_of(1, u0=draw, u1=1.0)
    got = (augment(size=32, scale=0.5, rotate=angle)(x, draws) + 1) / 2
    # Samples 1.5 pixels apart see 5.5 of 8 / 1.5 pixels: the grid's own error is 6 %.
    assert got[:, 0].sum().item() == pytest.approx(64 * zoom**2, rel=0.08)
    for edges in (got[0, 0].amax(dim=0), got[0, 0].amax(dim=1)):
        assert edges.sum().item() == pytest.approx(8 * zoom, rel=0.2)


def test_a_right_angle_turns_the_picture():
    x = pictures()
    got = augment(rotate=90.0)(x, draws_of(len(x), u1=1.0))
    turned = [augment()(x.rot90(k, (2, 3))) for k in (1, 3)]
    assert min((got - t).abs().max() for t in turned) < 1e-3


def test_grey_drops_the_colour():
    got = augment(grey=1.0)(pictures(), draws_of(6))
    torch.testing.assert_close(got[:, 0], got[:, 1], rtol=0, atol=1e-5)
    torch.testing.assert_close(got[:, 1], got[:, 2], rtol=0, atol=1e-5)
    assert got[:, 0].std() > 0.1


def test_colour_leaves_grey_pictures_grey_and_brightens():
    grey = torch.full((2, 3, 16, 16), 100, dtype=torch.uint8)
    hue = augment(colour=0.9)(grey, draws_of(2, u9=1.0, u8=1.0))
    torch.testing.assert_close(hue, augment()(grey), rtol=0, atol=1e-4)
    bright = augment(colour=0.5)(grey, draws_of(2, u6=1.0))
    torch.testing.assert_close(bright, augment()(grey * 1.5), rtol=0, atol=0.01)


def test_erase_blanks_one_rectangle():
    x = pictures()
    got = augment(erase=1.0)(x, draws_of(len(x)))
    changed = (got - augment()(x)).abs().amax(dim=1) > 1e-4
    share = changed.float().mean(dim=(1, 2))
    assert ((share > 0.03) & (share < 0.35)).all()
    for mask in changed:
        rows, columns = mask.any(dim=1).nonzero().ravel(), mask.any(dim=0).nonzero().ravel()
        assert rows.tolist() == list(range(int(rows[0]), int(rows[-1]) + 1))
        assert columns.tolist() == list(range(int(columns[0]), int(columns[-1]) + 1))
    mean = augment()(x).mean(dim=(2, 3))
    torch.testing.assert_close(got[0, :, changed[0]].mean(dim=1), mean[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("side", [16, 20])
def test_no_image(side):
    empty = torch.empty(0, 3, side, side, dtype=torch.uint8)
    assert augment(**ALL)(empty, torch.empty(0, DRAWS)).shape == (0, 3, 16, 16)
    assert augment(**ALL)(empty).shape == (0, 3, 16, 16)


@pytest.mark.parametrize(
    ("shape", "draws", "message"),
    [
        ((2, 1, 16, 16), (2, DRAWS), r"\[B, 3, S, S\], got \[2, 1, 16, 16\]"),
        ((2, 4, 16, 16), None, r"got \[2, 4, 16, 16\]"),
        ((3, 16, 16), None, r"got \[3, 16, 16\]"),
        ((2, 3, 16, 16), (1, DRAWS), rf"draws must be \[2, {DRAWS}\].*got \[1, {DRAWS}\]"),
        ((2, 3, 16, 16), (2, 8), r"got \[2, 8\]"),
    ],
)
def test_other_shapes(shape, draws, message):
    x = torch.zeros(shape, dtype=torch.uint8)
    with pytest.raises(ConfigError, match=message):
        augment()(x, None if draws is None else torch.zeros(draws))


def earlier(x, u, scale, shift, rotate, colour, erase):
    """The augmentation as it was before crops and RandAugment, for `grey` 0 and with `flip`."""
    x = x.to(torch.float32).div_(255)
    zoom = torch.exp((2 * u[:, 0] - 1) * math.log1p(scale))
    angle = (2 * u[:, 1] - 1) * math.radians(rotate)
    moved = (2 * u[:, 2:4] - 1) * (2 * shift)
    mirror = torch.where(u[:, 4] < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    across = torch.stack((cos * mirror, -sin, moved[:, 0]), dim=1)
    down = torch.stack((sin * mirror, cos, moved[:, 1]), dim=1)
    grid = F.affine_grid(torch.stack((across, down), dim=1), list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)

    signed = (2 * u[:, 6:11] - 1) * colour
    bright, contrast, saturation = (1 + signed[:, i].view(-1, 1, 1) for i in range(3))
    turn = (signed[:, 3] * math.pi).view(-1, 1, 1)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    hue = torch.cos(turn) * torch.eye(3) + (1 - torch.cos(turn)) * torch.full((3, 3), 1 / 3)
    hue = hue + torch.sin(turn) * math.sqrt(1 / 3) * cross
    luma = torch.tensor((0.299, 0.587, 0.114)).expand(3, 3)
    mixed = saturation * torch.eye(3) + (1 - saturation) * luma
    matrix = bright * contrast * mixed @ hue
    offset = x.mean(dim=(2, 3), keepdim=True) * (1 - contrast[..., None])
    x = (torch.einsum("bij,bjhw->bihw", matrix, x) + offset).clamp_(0, 1)

    sides = 0.2 + 0.3 * u[:, 12:14]
    first = u[:, 14:16] * (1 - sides)
    at = torch.linspace(0, 1, x.size(-1))
    inside = [
        (at >= first[:, i, None]) & (at <= first[:, i, None] + sides[:, i, None]) for i in (0, 1)
    ]
    hole = inside[0][:, :, None] & inside[1][:, None, :] & (u[:, 11] < erase)[:, None, None]
    x = torch.where(hole[:, None], x.mean(dim=(2, 3), keepdim=True), x)
    return (x - 0.5) / 0.5


@pytest.mark.parametrize("size", [8, 33])
def test_without_new_options_nothing_has_changed(size):
    strengths = {"scale": 0.3, "shift": 0.2, "rotate": 30.0, "colour": 0.5, "erase": 0.5}
    x, draws = pictures(9, size), augment_draws(1, 2, np.arange(9))
    got = augment(size=size, flip=True, **strengths)(x, draws)
    # Rounding of the grid, 1e-7 of a side, between pixels as far apart as noise is.
    torch.testing.assert_close(got, earlier(x, draws, **strengths), rtol=0, atol=1e-4)


def test_draws_keep_their_values():
    # Trained runs hang on these: a draw is its address's, whatever DRAWS is.
    draws = augment_draws(7, 3, np.array([11]))[0, [0, 5, 15, 16, 23]]
    want = torch.tensor([0.120767102, 0.205381066, 0.785492778, 0.412530929, 0.762199044])
    torch.testing.assert_close(draws, want, rtol=0, atol=0)


@pytest.mark.parametrize("strengths", [FULL, ALL | {"crop_pct": 1.0}])
@pytest.mark.parametrize("draw", [False, True])
def test_memory_layout_does_not_matter(strengths, draw):
    x = pictures(5, size=8)
    draws = augment_draws(0, 1, np.arange(5)) if draw else None
    module = augment(size=8, **strengths)
    want = module(x, draws)
    for other in (
        x.contiguous(memory_format=torch.channels_last),
        x.transpose(2, 3).contiguous().transpose(2, 3),
        x.repeat(1, 1, 1, 2)[..., :8],
    ):
        torch.testing.assert_close(module(other, draws), want, rtol=0, atol=1e-6)


def test_autocast_does_not_lower_the_precision():
    x, draws = pictures(4, size=20), augment_draws(0, 1, np.arange(4))
    module = augment(**ALL)
    with torch.autocast("cpu", torch.bfloat16):
        got = module(x, draws)
    torch.testing.assert_close(got, module(x, draws), rtol=0, atol=0)


@given(st.integers(0, 2**40), st.integers(0, 10**6), st.integers(0, 2**40))
@settings(max_examples=25, deadline=None)
def test_a_picture_is_a_function_of_seed_epoch_and_image(seed, epoch, image):
    x, module = pictures(1, size=20), augment(**ALL)
    first, again, later = (
        module(x, augment_draws(seed, e, np.array([image]))) for e in (epoch, epoch, epoch + 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


@pytest.mark.parametrize("shape", [(16, 20), (18, 18), (32, 32)])
def test_a_picture_of_another_side_is_refused(shape):
    x = torch.zeros(1, 3, *shape, dtype=torch.uint8)
    with pytest.raises(ConfigError, match=rf"{shape[0]} x {shape[1]} pixels.* 20 .*0\.8\) or 16"):
        augment(crop_pct=0.8)(x)
