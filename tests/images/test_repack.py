"""One picture as a pack keeps it."""

import io

import numpy as np
import pytest
from PIL import Image

from graphrise.images.bad import BadImage
from graphrise.images.decode import read_rgb
from graphrise.images.repack import repack


def shown(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.format, np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_plain_small_jpeg_is_kept(make, pictures, mode, options):
    data = make.encoded(pictures.photo(120, 80).convert(mode), "JPEG", **options)
    for side in (80, 300):
        got = repack(data, side, 90)
        assert (got.data, got.height, got.width, got.kept) == (data, 80, 120, True)
    assert not repack(data, 79, 90).kept


@pytest.mark.parametrize(
    ("size", "side", "want"),
    [
        ((400, 300), 100, (100, 133)),
        ((300, 400), 100, (133, 100)),
        ((300, 300), 100, (100, 100)),
        ((1999, 1333), 100, (100, 150)),  # decoded at 1/4 on the way
        ((90, 80), 100, (80, 90)),
        ((700, 9), 8, (8, 622)),
    ],
)
def test_the_short_side_shrinks_and_never_grows(make, pictures, size, side, want):
    for kind in ("PNG", "JPEG"):
        source = make.encoded(pictures.photo(*size), kind)
        got = repack(source, side, 90)
        _, pixels = shown(got.data)
        assert pixels.shape == (*want, 3)
        assert (got.height, got.width) == want


def test_what_is_encoded_looks_the_same(make, pictures):
    image = pictures.photo(400, 300)
    got = repack(make.encoded(image), 150, 90)
    kind, pixels = shown(got.data)
    want = np.asarray(image.resize((200, 150), Image.Resampling.BICUBIC)).astype(int)
    assert kind == "JPEG"
    assert np.abs(pixels - want).mean() < 5
    assert len(repack(make.encoded(image), 150, 50).data) < len(got.data)


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_turned_or_cmyk_jpeg_is_encoded_upright(make, pictures, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = make.encoded(pictures.photo(100, 70), "JPEG", exif=exif)
    cmyk = make.encoded(pictures.photo(100, 70).convert("CMYK"), "JPEG")
    for data in (turned, cmyk):
        got = repack(data, 256, 95)
        kind, pixels = shown(got.data)
        assert kind == "JPEG"
        assert np.abs(pixels - read_rgb(data, 256).pixels).mean() < 5
        assert not got.kept


@pytest.mark.parametrize(("short", "kind"), [(64, "PNG"), (65, "JPEG")])
def test_small_drawings_stay_exact(make, pictures, short, kind):
    image = pictures.photo(80, short).convert("RGBA")
    image.putalpha(Image.new("L", image.size, 200))
    for source in ("PNG", "WEBP"):
        data = make.encoded(image, source)
        got = repack(data, 256, 90)
        form, pixels = shown(got.data)
        assert form == kind
        assert (not np.any(pixels - read_rgb(data, 256).pixels)) == (kind == "PNG")


def test_too_thin_for_a_jpeg_is_bad(make):
    data = make.encoded(Image.new("RGB", (70_000, 80)))
    with pytest.raises(BadImage, match="70000 x 80 pixels cannot be a JPEG"):
        repack(data, 256, 90)
