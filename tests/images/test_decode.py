"""Every kind of picture to square RGB, held against Pillow."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from graphrise.images.decode import BadImage, decode, read_rgb

LOSSLESS = ["PNG", "GIF", "TIFF", "BMP", "PPM"]


@pytest.mark.parametrize("kind", ["JPEG", *LOSSLESS, "WEBP"])
@pytest.mark.parametrize("size", [(320, 240), (240, 320), (100, 100), (500, 33), (16, 16), (1, 9)])
def test_every_format_as_pillow_has_it(make, pictures, kind, size):
    data = make.encoded(pictures.photo(*size), kind)
    # 16, 100: no resize. 224: enlarged or reduced. None so small that a JPEG is decoded reduced.
    for side in (224, 128):
        assert np.array_equal(pictures.decoded(data, side), pictures.truth(data, side)), side


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000"])
def test_rarer_formats(make, pictures, kind):
    if not features.check({"AVIF": "avif", "JPEG2000": "jpg_2000"}[kind]):
        pytest.skip("this Pillow is built without it")
    data = make.encoded(pictures.photo(), kind)
    assert np.array_equal(pictures.decoded(data, 100), pictures.truth(data, 100))


@pytest.mark.parametrize("size", [(64, 64), (90, 64), (64, 91), (64, 640)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_right_size_is_only_cropped(make, pictures, kind, size):
    data = make.encoded(pictures.photo(*size), kind)
    with Image.open(io.BytesIO(data)) as image:
        whole = np.asarray(image)
    left, top = (size[0] - 64) // 2, (size[1] - 64) // 2
    window = whole[top : top + 64, left : left + 64]
    assert np.array_equal(pictures.decoded(data, 64), window)


def test_a_square_jpeg_goes_straight_into_a_batch(make, pictures, monkeypatch):
    data = make.encoded(pictures.photo(64, 64), "JPEG")
    monkeypatch.setattr("graphrise.images.decode.read_rgb", None)
    batch = np.full((3, 64, 64, 3), 7, dtype=np.uint8)
    decode(memoryview(data), 64, batch[1])
    assert np.array_equal(batch[1], pictures.truth(data, 64))
    assert (batch[[0, 2]] == 7).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(make, pictures, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for size in ((100, 70), (64, 64)):
        data = make.encoded(pictures.photo(*size), kind, exif=exif)
        assert np.array_equal(pictures.decoded(data, 64), pictures.truth(data, 64))


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_an_orientation_that_is_none_is_upright(make, pictures, value):
    exif = Image.Exif()
    exif[0x0112] = value
    data = make.encoded(pictures.photo(), "JPEG", exif=exif)
    assert np.array_equal(pictures.decoded(data, 128), pictures.truth(data, 128))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_kinds_of_jpeg(make, pictures, mode, options):
    data = make.encoded(pictures.photo().convert(mode), "JPEG", **options)
    assert np.array_equal(pictures.decoded(data, 200), pictures.truth(data, 200))
    rgb = make.encoded(pictures.photo(), "JPEG", keep_rgb=True, **options)
    assert np.array_equal(pictures.decoded(rgb, 200), pictures.truth(rgb, 200))


@pytest.mark.parametrize("size", [(1001, 701), (700, 1003), (2001, 1601)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_jpeg_is_close_to_the_whole_one(make, pictures, size, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = make.encoded(pictures.photo(*size), "JPEG", quality=95, exif=exif)
    picture = read_rgb(data, 100)
    assert 100 <= min(picture.pixels.shape[:2]) <= 201
    off = np.abs(pictures.decoded(data, 100) - pictures.truth(data, 100))
    assert off.mean() < 1.5
    assert off.max() < 16


def test_modes_become_rgb(make, pictures):
    red = Image.new("RGB", (16, 16), (200, 30, 40))
    grey = np.full((16, 16), 128, dtype=np.uint8)
    cases = {
        "RGB": (red, "PNG", (200, 30, 40)),
        "P": (red.quantize(4), "PNG", (200, 30, 40)),
        "L": (Image.new("L", (16, 16), 77), "PNG", (77, 77, 77)),
        "1": (Image.new("1", (16, 16), 1), "PNG", (255, 255, 255)),
        "LA": (Image.new("LA", (16, 16), (100, 0)), "PNG", (255, 255, 255)),
        # Half transparent: the middle between the colour and white.
        "RGBA": (Image.new("RGBA", (16, 16), (200, 0, 0, 128)), "PNG", (227, 127, 127)),
        "I;16": (Image.fromarray(grey.astype(np.uint16) * 257), "PNG", (128,) * 3),
        "I": (Image.fromarray(grey.astype(np.int32) * 257), "TIFF", (128,) * 3),
        "F": (Image.fromarray(grey.astype(np.float32) / 255), "TIFF", (128,) * 3),
        "CMYK": (Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
    }
    for mode, (image, kind, colour) in cases.items():
        assert image.mode == mode
        got = pictures.decoded(make.encoded(image, kind), 16)
        assert np.abs(got - colour).max() <= 1, mode


@pytest.mark.parametrize("top", [1.0, 255.0, 65_535.0])
def test_float_grey_is_scaled_by_the_white_it_fits(make, pictures, top):
    ramp = np.tile(np.linspace(0, top, 16, dtype=np.float32), (16, 1))
    ramp[3, 3] = np.nan
    got = pictures.decoded(make.encoded(Image.fromarray(ramp), "TIFF"), 16)
    np.testing.assert_allclose(got[0, :, 0], np.linspace(0, 255, 16), atol=1)
    assert got[3, 3, 0] == 0


def test_sixteen_bits_keep_their_gradient(make, pictures):
    ramp = np.tile(np.linspace(0, 65535, 16).astype(np.uint16), (16, 1))
    for kind in ("PNG", "TIFF"):
        got = pictures.decoded(make.encoded(Image.fromarray(ramp), kind), 16)
        np.testing.assert_allclose(got[0, :, 0], np.linspace(0, 255, 16), atol=1)


def test_sixteen_bit_colour(wrecks, pictures):
    import zlib

    row = b"\0" + np.array([51_400, 0, 65_535], dtype=">u2").tobytes() * 16
    data = wrecks.png(
        wrecks.png_header(16, 16, depth=16), (b"IDAT", zlib.compress(row * 16)), (b"IEND", b"")
    )
    assert (pictures.decoded(data, 16) == (200, 0, 255)).all()


def test_transparent_is_white(make, pictures):
    image = Image.new("P", (16, 16), 0)
    image.putpalette([10, 20, 30, 0, 0, 250])
    image.paste(1, (0, 0, 8, 16))
    for kind in ("PNG", "GIF"):
        got = pictures.decoded(make.encoded(image, kind, transparency=0), 16)
        assert got[8, 15].tolist() == [255, 255, 255]
        assert got[8, 0].tolist() == [0, 0, 250]
    deep = Image.fromarray(np.tile(np.arange(16, dtype=np.uint16) * 257, (16, 1)))
    got = pictures.decoded(make.encoded(deep, transparency=5 * 257), 16)
    assert got[0, 4:7, 0].tolist() == [4, 255, 6]


def test_an_animation_is_its_first_frame(make, pictures):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        data = make.encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        got = pictures.decoded(data, 16)
        assert got[..., 0].min() > 240, kind
        assert got[..., 2].max() < 15, kind


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_icc_profile_is_no_obstacle(make, pictures, kind):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = make.encoded(pictures.photo(), kind, icc_profile=profile)
    assert np.array_equal(pictures.decoded(data, 128), pictures.truth(data, 128))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_too_large_is_told_from_the_header(make, pictures, kind):
    # Cut: to decode it would fail otherwise.
    data = make.encoded(pictures.photo(64, 64), kind)
    data = data if kind in ("WEBP", "GIF") else data[:-20]
    with pytest.raises(BadImage, match=r"64 x 64 pixels is over 4,095"):
        pictures.decoded(data, 64, max_pixels=4095)
    if kind in ("WEBP", "GIF"):
        assert pictures.decoded(data, 64, max_pixels=4096).shape == (64, 64, 3)


def test_pillow_does_not_warn_of_what_is_allowed(make, pictures, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    for kind in ("PNG", "JPEG"):
        data = make.encoded(pictures.photo(64, 64), kind)
        assert pictures.decoded(data, 32).shape == (32, 32, 3)


def test_reasons_are_one_short_line():
    assert str(BadImage("a\nb  c" + "x" * 500)) == "a b c" + "x" * 195
    assert str(BadImage(KeyError())) == "KeyError"
