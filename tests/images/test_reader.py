"""Batches of square RGB pictures, their threads and cache, and what cannot be read."""

import io
import multiprocessing
import os
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features
from torch.utils.data import DataLoader, Dataset

from graphrise.data.tables import read_images
from graphrise.errors import ConfigError, DataError
from graphrise.images import reader as reader_module
from graphrise.images.reader import ImageReader
from graphrise.images.store import open_store

CODECS = ["PNG", "JPEG", "GIF", "TIFF", "BMP"]
CODECS += [codec.upper() for codec in ("webp", "avif") if features.check(codec)]


def store_of(folder):
    return open_store(folder, read_images(folder))


@pytest.fixture
def read(make, tmp_path):
    """Bytes (or a path's text) of one picture -> uint8 [3, size, size] array."""

    def reader(content, size=16):
        row = {"image_id": "one", "split": "train"}
        row["path" if isinstance(content, str) else "image"] = content
        store = store_of(make.save_tables(tmp_path / "d", [row]))
        out = ImageReader(store, np.array([0]), size).read(torch.tensor([0]))
        assert out.dtype == torch.uint8
        assert out.shape == (1, 3, size, size)
        return out[0].numpy()

    return reader


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
    store = store_of(make.save_tables(folder, rows))
    for mib in (0, 1):
        reader = ImageReader(store, np.array([1, 0]), 8, cache_mib=mib)
        assert len(reader) == 2
        got = reader.read(torch.tensor([1, 0, 1])).float().mean(dim=(1, 2, 3))
        assert got[0] == got[2] == 9
        assert got[1] > 150


def test_the_cache_decodes_once_and_changes_nothing(make, tmp_path, monkeypatch):
    rows = [{"image_id": i, "split": "x", "image": make.noisy((50, 60, 70), i)} for i in range(3)]
    store = store_of(make.save_tables(tmp_path / "d", rows))
    opened = []
    real = reader_module.decode
    monkeypatch.setattr(reader_module, "decode", lambda *a, **k: opened.append(1) or real(*a, **k))
    cached, plain = (ImageReader(store, np.arange(3), 8, cache_mib=mib) for mib in (1, 0))
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
    store = store_of(make.save_tables(folder, [row]))
    reader = ImageReader(store, np.array([0]), 8)
    with pytest.raises(DataError, match="image_id 'one'"):
        reader.read(torch.tensor([0]))
    # A failure leaves nothing in the cache.
    with pytest.raises(DataError):
        reader.read(torch.tensor([0]))


@pytest.fixture
def dozen(make, tmp_path):
    """Store of 12 pictures, of which rows 3 and 7 are bad."""
    rows = [
        {"image_id": f"i{i}", "split": "x", "image": make.noisy((40, 90, 20 * i), i, (20, 30))}
        for i in range(12)
    ]
    rows[3]["image"], rows[7]["image"] = b"", rows[7]["image"][:-1]
    return store_of(make.save_tables(tmp_path / "d", rows))


GOOD = np.array([0, 1, 2, 4, 5, 6, 8, 9, 10, 11])


@pytest.mark.parametrize("mib", [0, 1])
def test_threads_change_nothing(dozen, mib):
    positions = torch.tensor([9, 0, 4, 4, 1, 8, 0, 9])
    batches = [
        ImageReader(dozen, GOOD, 16, threads=threads, cache_mib=mib).read(positions)
        for threads in (1, 2, 3, 8)
    ]
    for batch in batches:
        assert torch.equal(batch, batches[0])
        assert batch.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(batches[0][0], batches[0][1])
    assert torch.equal(batches[0][2], batches[0][3])


def test_an_empty_batch(dozen):
    for mib in (0, 1):
        batch = ImageReader(dozen, GOOD, 16, cache_mib=mib).read(torch.tensor([], dtype=torch.long))
        assert batch.shape == (0, 3, 16, 16)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("mib", [0, 1])
def test_bad_pictures_are_grey_and_noted(dozen, threads, mib):
    skipping = ImageReader(
        dozen, np.arange(12), 16, threads=threads, cache_mib=mib, on_bad_image="skip"
    )
    good = ImageReader(dozen, GOOD, 16).read(torch.arange(10))
    for _ in range(2):  # from the cache, too
        batch, reasons = skipping.read_noting(torch.tensor([7, 2, 3, 3]))
        assert list(reasons) in ([7, 3], [3, 7])
        assert reasons[3] == "empty (0 bytes)"
        assert reasons[7] == "PNG cut off"
        assert (batch[[0, 2, 3]] == 128).all()
        assert torch.equal(batch[1], good[2])
        assert skipping.read_noting(torch.tensor([2]))[1] == {}
    assert torch.equal(skipping.read(torch.arange(12))[GOOD], good)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("mib", [0, 1])
def test_the_first_bad_picture_is_named(dozen, threads, mib):
    raising = ImageReader(dozen, np.arange(12), 16, threads=threads, cache_mib=mib)
    for _ in range(2):
        with pytest.raises(DataError, match=r"image_id 'i3' \(column 'image'\).*: empty"):
            raising.read(torch.arange(12))
    with pytest.raises(DataError, match="image_id 'i7'"):
        raising.read(torch.tensor([5, 7]))


def test_a_fault_of_ours_is_not_a_bad_picture(dozen, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(reader_module, "decode", broken)
    for threads in (1, 4):
        reader = ImageReader(dozen, GOOD, 16, threads=threads, on_bad_image="skip")
        with pytest.raises(ZeroDivisionError):
            reader.read(torch.arange(10))


def test_settings_out_of_range(dozen):
    with pytest.raises(ConfigError, match="threads must be at least 1"):
        ImageReader(dozen, GOOD, 16, threads=0)
    with pytest.raises(ConfigError, match="on_bad_image is 'raise' or 'skip'"):
        ImageReader(dozen, GOOD, 16, on_bad_image="ignore")  # pyright: ignore[reportArgumentType]


def test_decompression_bombs_are_refused(dozen):
    reader = ImageReader(dozen, GOOD, 16, max_pixels=599)
    with pytest.raises(DataError, match=r"image_id 'i0'.*20 x 30 pixels is over 599"):
        reader.read(torch.arange(10))


def test_pickled_it_reads_the_same_without_its_cache(dozen):
    reader = ImageReader(dozen, GOOD, 64, threads=2)
    batch = reader.read(torch.arange(10))
    data = pickle.dumps(reader)
    assert len(data) < batch.numel()
    assert torch.equal(pickle.loads(data).read(torch.arange(10)), batch)


class Rows(Dataset):
    def __init__(self, reader):
        self.reader = reader

    def __len__(self):
        return len(self.reader)

    def __getitem__(self, position):
        # Twice, as a pool is made for more than one picture.
        return self.reader.read(torch.tensor([position, position]))[0]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("mib", [0, 1])
# Python 3.12 and later warn of a fork beside threads.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_it_works_in_a_loaders_processes(dozen, method, mib):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    reader = ImageReader(dozen, GOOD, 16, threads=2, cache_mib=mib)
    want = reader.read(torch.arange(10))  # the pool exists before the fork
    loader = DataLoader(Rows(reader), batch_size=5, num_workers=1, multiprocessing_context=method)
    assert torch.equal(torch.cat(list(loader)), want)


def test_a_pool_belongs_to_one_process(dozen, monkeypatch):
    reader = ImageReader(dozen, GOOD, 16, threads=2, cache_mib=0)
    want = reader.read(torch.arange(10))
    pool = reader._pool
    assert reader.read(torch.arange(10)).equal(want)
    assert reader._pool is pool
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert reader.read(torch.arange(10)).equal(want)
    assert reader._pool is not pool


def test_a_batch_that_is_held_is_not_written_again(make, tmp_path):
    rows = [{"image_id": i, "split": "x", "image": make.noisy((50, 60, 70), i)} for i in range(4)]
    store = store_of(make.save_tables(tmp_path / "d", rows))
    for mib in (0, 1):
        reader = ImageReader(store, np.arange(4), 8, cache_mib=mib)
        first = reader.read(torch.tensor([0, 1]))
        row, copy = first[1], first.clone()
        del first
        assert not torch.equal(reader.read(torch.tensor([2, 3]))[1], row)
        assert torch.equal(row, copy[1])
        # What a caller does to a batch is nothing to the next one.
        row.zero_()
        assert torch.equal(reader.read(torch.tensor([0, 1])), copy)


class Shared(Dataset):
    """Whether a batch lies where other processes see it."""

    def __init__(self, reader):
        self.reader = reader

    def __len__(self):
        return 2

    def __getitem__(self, number):
        return self.reader.read(torch.tensor([number])).is_shared()


@pytest.mark.parametrize("mib", [0, 1])
def test_workers_decode_into_shared_memory(make, tmp_path, mib):
    rows = [{"image_id": i, "split": "x", "image": make.noisy((50, 60, 70), i)} for i in range(2)]
    store = store_of(make.save_tables(tmp_path / "d", rows))
    shared = Shared(ImageReader(store, np.arange(2), 8, cache_mib=mib))
    assert not shared[0]
    assert list(DataLoader(shared, batch_size=None, num_workers=1)) == [True, True]
