"""Every kind of picture to square RGB, and what cannot be one."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, features

from graphrise.data.tables import read_images
from graphrise.errors import DataError
from graphrise.loader import images as images_module
from graphrise.loader.images import ImageReader

CODECS = ["PNG", "JPEG", "GIF", "TIFF", "BMP"]
CODECS += [codec.upper() for codec in ("webp", "avif") if features.check(codec)]


@pytest.fixture
def read(make, tmp_path):
    """Bytes (or a path's text) of one picture -> uint8 [3, size, size] array."""

    def reader(content, size=16):
        row = {"image_id": "one", "split": "train"}
        row["path" if isinstance(content, str) else "image"] = content
        table = read_images(make.save_tables(tmp_path / "d", [row]))
        out = ImageReader(table, np.array([0]), size).read(torch.tensor([0]))
        assert out.dtype == torch.uint8
        assert out.shape == (1, 3, size, size)
        return out[0].numpy()

    return reader


def test_modes_become_rgb(make, read):
    red = Image.new("RGB", (16, 16), (200, 30, 40))
    cases = {
        "RGB": (red, (200, 30, 40)),
        "P": (red.quantize(4), (200, 30, 40)),
        "L": (Image.new("L", (16, 16), 77), (77, 77, 77)),
        "1": (Image.new("1", (16, 16), 1), (255, 255, 255)),
        "LA": (Image.new("LA", (16, 16), (100, 0)), (255, 255, 255)),
        # Half transparent: the middle between the colour and white.
        "RGBA": (Image.new("RGBA", (16, 16), (200, 0, 0, 128)), (227, 127, 127)),
        "I;16": (Image.fromarray(np.full((16, 16), 128 * 257, dtype=np.uint16)), (128,) * 3),
    }
    for mode, (image, colour) in cases.items():
        assert image.mode == mode
        got = read(make.encoded(image))
        assert np.abs(got.reshape(3, -1).T.astype(int) - colour).max() <= 2, mode


def test_sixteen_bits_keep_their_gradient(make, read):
    ramp = np.tile(np.linspace(0, 65535, 16).astype(np.uint16), (16, 1))
    got = read(make.encoded(Image.fromarray(ramp)))
    np.testing.assert_allclose(got[0, 0], np.linspace(0, 255, 16), atol=1)


def test_palette_transparency_is_white(make, read):
    image = Image.new("P", (16, 16), 0)
    image.putpalette([10, 20, 30, 0, 0, 250])
    image.paste(1, (0, 0, 8, 16))
    got = read(make.encoded(image, transparency=0))
    assert got[:, 8, 15].tolist() == [255, 255, 255]
    assert got[:, 8, 0].tolist() == [0, 0, 250]


def test_cmyk_jpeg(make, read):
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    got = read(make.encoded(cmyk, "JPEG", quality=95)).mean(axis=(1, 2))
    assert got[0] > 220
    assert got[1:].max() < 60


def test_exif_rotation(make, read):
    # Stored lying down with the left half red; orientation 6 says: turn clockwise, red goes up.
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:, :8, 0], pixels[:, 8:, 2] = 255, 255
    exif = Image.Exif()
    exif[0x0112] = 6
    got = read(make.encoded(Image.fromarray(pixels), "JPEG", quality=95, exif=exif))
    assert got[0, :6].mean() > 240
    assert got[2, 10:].mean() > 240
    assert got[0, 10:].mean() < 15


@pytest.mark.parametrize("shape", [(40, 16), (16, 40), (7, 7), (1, 1), (300, 2)])
def test_short_side_resized_and_centre_cropped(make, read, shape):
    width, height = shape
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 1] = 200
    if max(shape) == 40:
        # The outer parts of the long side, which the crop leaves out.
        long = np.moveaxis(pixels, 0 if height == 40 else 1, 0)
        long[:10] = long[-10:] = (255, 0, 0)
    got = read(make.encoded(Image.fromarray(pixels)))
    assert np.abs(got.astype(int) - np.array([0, 200, 0])[:, None, None]).max() <= 2


def test_reads_paths_and_bytes_of_one_table(make, tmp_path):
    folder = tmp_path / "d"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.png").write_bytes(make.encoded(Image.new("RGB", (8, 8), (9, 9, 9))))
    rows = [
        {"image_id": 1, "split": "x", "path": "sub/a.png", "image": None},
        {"image_id": 2, "split": "x", "path": None, "image": make.noisy((200, 200, 200), 0)},
    ]
    table = read_images(make.save_tables(folder, rows))
    for mib in (0, 1):
        reader = ImageReader(table, np.array([1, 0]), 8, mib)
        assert len(reader) == 2
        got = reader.read(torch.tensor([1, 0, 1])).float().mean(dim=(1, 2, 3))
        assert got[0] == got[2] == 9
        assert got[1] > 150


def test_the_cache_decodes_once_and_changes_nothing(make, tmp_path, monkeypatch):
    rows = [{"image_id": i, "split": "x", "image": make.noisy((50, 60, 70), i)} for i in range(3)]
    table = read_images(make.save_tables(tmp_path / "d", rows))
    opened = []
    real = Image.open
    monkeypatch.setattr(images_module.Image, "open", lambda f: opened.append(1) or real(f))
    cached, plain = (ImageReader(table, np.arange(3), 8, mib) for mib in (1, 0))
    for _ in range(2):
        torch.testing.assert_close(
            cached.read(torch.tensor([2, 0])), plain.read(torch.tensor([2, 0]))
        )
    assert len(opened) == 2 + 4
    # What a caller does to a batch must not reach the cache.
    cached.read(torch.tensor([0])).zero_()
    torch.testing.assert_close(cached.read(torch.tensor([0])), plain.read(torch.tensor([0])))


@pytest.mark.parametrize(
    "content", [b"", b"not an image", "nowhere.png", ".", b"\x89PNG\r\n\x1a\n"]
)
def test_what_cannot_be_read_names_id_and_place(read, content):
    place = content if isinstance(content, str) else "column 'image'"
    with pytest.raises(DataError, match="image_id 'one'") as caught:
        read(content)
    assert place.lstrip(".") in str(caught.value)
    assert "cannot be read" in str(caught.value)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), kind=st.sampled_from(CODECS))
# Pillow warns of a cut TIFF before it raises.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_cut_picture_is_a_data_error(make, tmp_path_factory, data, kind):
    image = Image.open(io.BytesIO(make.noisy((10, 200, 60), 1)))
    content = make.encoded(image, kind)
    cut = data.draw(st.integers(0, len(content) // 2))
    folder = tmp_path_factory.mktemp("cut")
    row = {"image_id": "one", "split": "train", "image": content[:cut]}
    table = read_images(make.save_tables(folder, [row]))
    reader = ImageReader(table, np.array([0]), 8)
    with pytest.raises(DataError, match="image_id 'one'"):
        reader.read(torch.tensor([0]))
    # A failure leaves nothing in the cache.
    with pytest.raises(DataError):
        reader.read(torch.tensor([0]))


def test_decompression_bombs_are_refused(make, read, monkeypatch):
    monkeypatch.setattr(images_module, "MAX_PIXELS", 100)
    with pytest.raises(DataError, match=r"image_id 'one'.*16 x 16 pixels is over 100"):
        read(make.encoded(Image.new("RGB", (16, 16))))


def test_an_icc_profile_is_no_obstacle(make, read):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    got = read(make.encoded(Image.new("RGB", (16, 16), (1, 2, 3)), icc_profile=profile))
    assert got[:, 0, 0].tolist() == [1, 2, 3]
