"""Packing a dataset: what is written, what is continued, what is refused."""

import json

import numpy as np
import pytest
import torch

from graphrise.data.tables import read_images
from graphrise.errors import ConfigError, DataError
from graphrise.images import pack as pack_module
from graphrise.images.pack import pack
from graphrise.images.pack_part import write_part
from graphrise.images.reader import ImageReader
from graphrise.images.store import open_store


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Four images a part; what runs in this process sees it, and jobs carry their rows."""
    monkeypatch.setattr(pack_module, "PART_ROWS", 4)


@pytest.fixture
def photos(make, pictures, tmp_path):
    """Ten pictures: JPEGs to keep and to shrink, PNGs, a small drawing."""
    sizes = [(60, 50), (300, 200), (90, 120), (20, 30), (100, 100)] * 2
    rows = [
        {
            "image_id": i,
            "split": "x",
            "image": make.encoded(pictures.photo(*size, seed=i), "JPEG" if i % 2 else "PNG"),
        }
        for i, size in enumerate(sizes)
    ]
    return make.save_tables(tmp_path / "photos", rows)


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def opened(folder):
    return open_store(folder, read_images(folder))


def pixels(store, size=64):
    return ImageReader(store, np.arange(len(store)), size).read(torch.arange(len(store)))


def test_a_pack_is_read_as_its_source(photos):
    before = pixels(opened(photos))
    seen = []
    result = pack(photos, side=64, workers=1, display=lambda *shown: seen.append(shown))
    assert result.folder == photos / "packed"
    assert list(contents(result.folder)) == [
        "pack.json",
        "part-00000.arrow",
        "part-00001.arrow",
        "part-00002.arrow",
        "settings.json",
    ]
    assert seen == [("pack", 0.0), ("pack", 1 - 2 / 3), ("pack", 1 - 1 / 3), ("pack", 1.0)]
    table = read_images(photos).column("image")
    assert result.images == 10
    assert result.kept == sum(
        i % 2 and size <= 64 for i, size in enumerate([50, 200, 90, 20, 100] * 2)
    )
    assert result.kept + result.encoded == 10
    assert result.bytes_before == sum(map(len, table))
    assert result.bytes_after == sum(
        len(data) for name, data in contents(result.folder).items() if name.startswith("part")
    )
    after = pixels(opened(photos))
    off = (after.int() - before.int()).abs().float().mean(dim=(1, 2, 3))
    assert off.max() < 6
    # Kept, or lossless.
    assert torch.equal(after[3], before[3])
    assert torch.equal(after[5], before[5])


def test_several_processes_write_the_same_bytes(photos, tmp_path):
    folders = [tmp_path / str(n) for n in (1, 2, 5)]
    for folder in folders:
        pack(photos, folder, side=64, workers=int(folder.name))
    assert contents(folders[0]) == contents(folders[1]) == contents(folders[2])


def test_it_continues_with_the_missing_parts(photos, tmp_path, monkeypatch):
    whole = contents(pack(photos, tmp_path / "whole", side=64, workers=1).folder)
    folder = tmp_path / "p"
    written = []

    def stops(job):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(job.part)
        write_part(job)

    monkeypatch.setattr(pack_module, "write_part", stops)
    with pytest.raises(KeyboardInterrupt):
        pack(photos, folder, side=64, workers=1)
    assert list(contents(folder)) == ["part-00000.arrow", "part-00001.arrow", "settings.json"]
    (folder / "part-00000.arrow").write_bytes(whole["part-00000.arrow"][:-50])
    (folder / ".part-00002.arrow.0123abcd.tmp").touch()  # as a killed process leaves it
    written.clear()
    assert pack(photos, folder, side=64, workers=1).written == 2
    assert written == [0, 2]
    assert contents(folder) == whole
    assert pack(photos, folder, side=64, workers=1).written == 0
    assert written == [0, 2]
    assert contents(folder) == whole


@pytest.mark.parametrize(
    ("change", "named"), [({"side": 32}, "side"), ({"quality": 50, "side": 32}, "side, quality")]
)
def test_other_settings_need_overwrite(photos, change, named):
    pack(photos, side=64, workers=1)
    before = contents(photos / "packed")
    with pytest.raises(DataError, match=rf"packed: .*settings \({named}\); give --overwrite"):
        pack(photos, workers=1, **{"side": 64, **change})
    assert contents(photos / "packed") == before
    pack(photos, workers=1, overwrite=True, **{"side": 64, **change})
    assert json.loads((photos / "packed" / "pack.json").read_text())["side"] == 32
    assert pixels(opened(photos), 32).shape == (10, 3, 32, 32)


def test_another_table_needs_overwrite(make, photos):
    pack(photos, side=64, workers=1)
    table = read_images(photos).table
    make.save_tables(photos, table.slice(0, 5))
    with pytest.raises(DataError, match=r"other settings \(images\.parquet\)"):
        pack(photos, side=64, workers=1)
    pack(photos, side=64, workers=1, overwrite=True)
    assert len(opened(photos)) == 5
    # Parts of the longer pack are gone.
    assert len(list((photos / "packed").glob("part-*"))) == 2


def test_a_folder_that_is_no_pack_is_left_alone(photos, tmp_path):
    other = tmp_path / "holiday"
    other.mkdir()
    (other / "a.jpg").touch()
    for overwrite in (False, True):
        with pytest.raises(DataError, match=r"holiday: holds other files and no settings\.json"):
            pack(photos, other, overwrite=overwrite)
    with pytest.raises(DataError, match=r"a\.jpg: is a file"):
        pack(photos, other / "a.jpg", overwrite=True)
    assert list(contents(other)) == ["a.jpg"]


@pytest.fixture
def damaged(make, photos):
    """`photos`, of which 2 and 9 are bad."""
    rows = read_images(photos).table.to_pylist()
    rows[2]["image"], rows[9]["image"] = b"", rows[9]["image"][:-1]
    return make.save_tables(photos.parent / "damaged", rows)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_image_ends_the_work(damaged, workers):
    with pytest.raises(
        DataError, match=r"damaged: image_id [29] \(column 'image'\) cannot be read"
    ):
        pack(damaged, side=64, workers=workers)
    folder = damaged / "packed"
    assert not (folder / "pack.json").exists()
    assert not list(folder.glob(".*"))
    # Without a finished pack, the table is read.
    assert len(opened(damaged).read(0)) > 0


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_images_are_left_out(damaged, workers):
    result = pack(damaged, side=64, workers=workers, on_bad_image="skip")
    assert [(bad["row"], bad["image_id"], bad["source"]) for bad in result.bad] == [
        (2, 2, "column 'image'"),
        (9, 9, "column 'image'"),
    ]
    assert result.kept + result.encoded == 8
    store = opened(damaged)
    _, reasons = ImageReader(store, np.arange(10), 16, on_bad_image="skip").read_noting(
        torch.arange(10)
    )
    assert reasons == {2: "empty (0 bytes)", 9: "Premature end of JPEG file"}
    with pytest.raises(DataError, match=r"image_id 2 \(column 'image'\) cannot be read: empty"):
        ImageReader(store, np.arange(10), 16).read(torch.tensor([1, 2]))
    # A call that does not skip must not pass over what an earlier one left out.
    with pytest.raises(DataError, match=r"image_id 2 \(column 'image'\) cannot be read: empty"):
        pack(damaged, side=64, workers=workers)


def test_continued_by_a_call_that_skips(damaged):
    with pytest.raises(DataError, match="image_id 2"):
        pack(damaged, side=64, workers=1)
    assert len(pack(damaged, side=64, workers=1, on_bad_image="skip").bad) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side": 7}, "side must be at least 8"),
        ({"quality": 0}, "quality must lie"),
        ({"quality": 101}, "quality must lie"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"on_bad_image": "ignore"}, "on_bad_image"),
    ],
)
def test_settings_out_of_range(photos, settings, message):
    with pytest.raises(ConfigError, match=message):
        pack(photos, **settings)
    assert not (photos / "packed").exists()
