"""RandAugment: every operation against torchvision's, and images apart from each other."""

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from torchvision.transforms.v2 import RandAugment

from graphrise.config import ImageConfig
from graphrise.loader.augment import Augment, augment_draws
from graphrise.loader.rand_augment import OPERATIONS, rand_augment

SIGNED = OPERATIONS[1:10]


def pictures(count=6, side=24):
    """Smooth pictures of a narrow range of values with a bright spot, to equalize and stretch."""
    generator = torch.Generator().manual_seed(side)
    x = torch.rand(count, 3, 5, 5, generator=generator)
    x = torch.nn.functional.interpolate(x, size=side, mode="bicubic").clamp(0, 1) * 180 + 20
    x[:, :, 4:7, 5:9] = 250
    return (x + torch.randint(0, 6, x.shape, generator=generator)).clamp(0, 255).to(torch.uint8)


def drawn(name, sign=1):
    """A draw that gives an operation and a sign."""
    return (2 * OPERATIONS.index(name) + (sign < 0) + 0.5) / (2 * len(OPERATIONS))


def torchvisions(image, name, magnitude, sign):
    """What torchvision's RandAugment makes of one image, by its own table and functions."""
    theirs = RandAugment(magnitude=magnitude)
    space, signed = theirs._AUGMENTATION_SPACE[name]
    strengths = space(theirs.num_magnitude_bins, *image.shape[-2:])
    value = 0.0 if strengths is None else float(strengths[magnitude])
    got = theirs._apply_image_or_video_transform(
        image,
        name,
        sign * value if signed else value,
        interpolation=theirs.interpolation,
        fill=theirs._fill,
    )
    assert isinstance(got, torch.Tensor)
    return got


def test_the_operations_are_torchvisions():
    space = RandAugment()._AUGMENTATION_SPACE
    assert tuple(space) == OPERATIONS
    assert tuple(name for name, (_, signed) in space.items() if signed) == SIGNED


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("magnitude", [0, 5, 9, 10, 17, 30])
@pytest.mark.parametrize("side", [8, 24, 51])
def test_an_operation_is_torchvisions(name, magnitude, side):
    x = pictures(side=side)
    signs = [1, -1, -1, 1, 1, -1]
    u = torch.tensor([[drawn(name, sign)] for sign in signs])
    got = rand_augment(x, u, magnitude)
    want = torch.stack(
        [torchvisions(image, name, magnitude, sign) for image, sign in zip(x, signs, strict=True)]
    )
    different = (got.int() - want.int()).abs()
    if name in ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"):
        # Nearest pixels: a sample in the very middle of two goes either way.
        assert (different > 0).float().mean() <= 0.01
    else:
        # A product that is whole but for its rounding is truncated either way.
        assert different.max() <= (1 if name in OPERATIONS[6:10] else 0)
    if magnitude >= 9 and side == 51 and name != "Identity":
        assert not torch.equal(got, x)


def test_operations_follow_each_other():
    x = pictures(2)
    names = ("Equalize", "Solarize", "TranslateX", "Posterize")
    got = rand_augment(x, torch.tensor([[drawn(name) for name in names]] * 2), 9)
    for image, result in zip(x, got, strict=True):
        want = image
        for name in names:
            want = torchvisions(want, name, 9, 1)
        assert torch.equal(result, want)


def test_an_image_depends_neither_on_its_batch_nor_on_its_place():
    x = pictures(60)
    u = augment_draws(0, 0, np.arange(60))[:, 20:23]
    together = rand_augment(x, u, 9)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    assert torch.equal(rand_augment(x[order], u[order], 9), together[order])
    for i in range(20):
        assert torch.equal(rand_augment(x[i : i + 1], u[i : i + 1], 9)[0], together[i])


def test_every_operation_and_sign_is_drawn_evenly():
    u = augment_draws(0, 0, np.arange(2800))[:, 20:24]
    # An image whose result tells the operation apart: count by what each draw gives.
    x = pictures(1)
    results = {
        rand_augment(x, torch.tensor([[drawn(n, s)]]), 9).numpy().tobytes()
        for n in OPERATIONS
        for s in (1, -1)
    }
    # Two signs of the nine, one result of the four others; Identity gives the picture itself.
    assert len(results) == 23
    counts = torch.histc(u, bins=28, min=0, max=1)
    assert counts.sum() == u.numel()
    assert ((counts - 400).abs() < 5 * math.sqrt(400)).all()


def test_ends_of_the_draw_are_operations():
    x = pictures(2)
    got = rand_augment(x, torch.tensor([[0.0], [1.0]]), 9)
    assert torch.equal(got[0], x[0])
    assert torch.equal(got[1], tv.equalize(x[1]))


@pytest.mark.parametrize("count", [0, 1])
def test_few_images(count):
    x = pictures(2)[:count]
    assert rand_augment(x, torch.rand(count, 2), 9).shape == x.shape


def test_input_is_left_alone_whatever_its_layout():
    x = pictures(12).contiguous(memory_format=torch.channels_last)
    before, u = x.clone(), augment_draws(0, 3, np.arange(12))[:, 20:22]
    got = rand_augment(x, u, 9)
    assert torch.equal(x, before)
    assert torch.equal(got, rand_augment(x.contiguous(), u, 9))


def test_augment_applies_it_to_whole_pixels():
    x = pictures(28)
    config = ImageConfig(size=24, scale=0, shift=0, rotate=0, colour=0, rand_augment=1)
    draws = augment_draws(0, 0, np.arange(28))
    draws[:, 20] = (torch.arange(28) + 0.5) / 28
    got = Augment(config, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))(x, draws)
    want = rand_augment(x, draws[:, 20:21], 9)
    torch.testing.assert_close(got, want.float() / 255, rtol=0, atol=1e-6)
