"""Every damaged picture is told, by name, and costs no other picture."""

import warnings

import numpy as np
import pytest
import torch

from graphrise.data.tables import read_images
from graphrise.errors import DataError
from graphrise.images.bad import BadImage
from graphrise.images.pack import pack
from graphrise.images.packed_store import PackedStore
from graphrise.images.reader import ImageReader
from graphrise.images.store import open_store


@pytest.fixture(scope="module")
def folder(make, wrecks, tmp_path_factory):
    """Dataset of all wrecks, each between two good pictures."""
    folder = tmp_path_factory.mktemp("wrecks")
    good = folder / "good.jpg"
    good.write_bytes(wrecks.encoded("JPEG", quality=90))
    rows = []
    for path in wrecks.make_wrecks(folder / "files"):
        rows.append({"image_id": f"good-{len(rows)}", "split": "x", "path": "good.jpg"})
        rows.append({"image_id": path[:60], "split": "x", "path": f"files/{path}"})
    return make.save_tables(folder, rows)


@pytest.fixture(params=["error", "ignore"])
def warned(request):
    """With warnings as errors, and as most people run it."""
    with warnings.catch_warnings():
        warnings.simplefilter(request.param)
        yield


def wrecked(table):
    return [row for row, path in enumerate(table.column("path")) if path != "good.jpg"]


def test_there_are_many_kinds(folder):
    assert len(wrecked(read_images(folder))) >= 70


@pytest.mark.parametrize("size", [24, 96])
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.usefixtures("warned")
def test_skipped_every_wreck_is_noted_and_nothing_else(folder, size, threads):
    table = read_images(folder)
    store = open_store(folder, table)
    reader = ImageReader(
        store, np.arange(len(table)), size, threads=threads, on_bad_image="skip", cache_mib=0
    )
    batch, reasons = reader.read_noting(torch.arange(len(table)))
    bad = wrecked(table)
    names = table.column("path")
    assert [names[row] for row in bad if row not in reasons] == []
    assert sorted(reasons) == bad
    assert all(reason and "\n" not in reason and len(reason) <= 200 for reason in reasons.values())
    assert (batch[bad] == 128).all()
    good = batch[[row for row in range(len(table)) if row not in reasons]]
    assert torch.equal(good, good[:1].expand_as(good))
    assert good.float().std() > 10


@pytest.mark.usefixtures("warned")
def test_raised_every_wreck_is_named(folder):
    table = read_images(folder)
    store = open_store(folder, table)
    reader = ImageReader(store, np.arange(len(table)), 24)
    for row in wrecked(table):
        with pytest.raises(DataError) as caught:
            reader.read(torch.tensor([row - 1, row]))
        message = str(caught.value)
        assert f"image_id {table.ids[row]!r}" in message
        assert str(folder / table.column("path")[row]) in message
        assert "cannot be read: " in message
        assert len(message.splitlines()) == 1


@pytest.mark.usefixtures("warned")
def test_a_pack_leaves_every_wreck_out(folder, tmp_path):
    table = read_images(folder)
    result = pack(folder, tmp_path / "p", workers=1, on_bad_image="skip")
    assert [bad["row"] for bad in result.bad] == wrecked(table)
    assert result.kept == len(table) - len(result.bad)
    store = PackedStore(tmp_path / "p")
    reader = ImageReader(store, np.arange(len(table)), 24, on_bad_image="skip")
    _, reasons = reader.read_noting(torch.arange(len(table)))
    assert reasons == {bad["row"]: bad["reason"] for bad in result.bad}


def test_a_pack_that_raises_names_every_wreck(make, folder, tmp_path):
    table = read_images(folder)
    for row in wrecked(table):
        path, image_id = table.column("path")[row], table.ids[row]
        one = make.save_tables(
            tmp_path / "one", [{"image_id": image_id, "split": "x", "path": str(folder / path)}]
        )
        with pytest.raises(DataError) as caught:
            pack(one, workers=1, overwrite=True)
        assert f"image_id {image_id!r} ({folder / path}) cannot be read: " in str(caught.value)


def test_flaws_that_cost_no_pixel_are_forgiven(wrecks, pictures):
    for name, flawed, sound in wrecks.harmless():
        for side in (40, 96):
            same = np.array_equal(pictures.decoded(flawed, side), pictures.decoded(sound, side))
            assert same, name


def test_many_a_flipped_byte_in_a_scan_is_told(wrecks, pictures):
    """Not all: where codes fall into step again no decoder can know."""
    jpeg = wrecks.encoded("JPEG", quality=90)
    scan = jpeg.index(b"\xff\xda") + 20
    told = 0
    for seed in range(60):
        try:
            pictures.decoded(wrecks.flipped(jpeg, scan, len(jpeg) - 4, 1, seed), 96)
        except BadImage:
            told += 1
    assert told >= 20
