"""Encoded pictures by row, from files, a column, or a pack."""

import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphrise.data.tables import ImageTable, read_images
from graphrise.errors import DataError
from graphrise.images import pack_format
from graphrise.images.bad import BadImage
from graphrise.images.pack import pack
from graphrise.images.pack_format import digest
from graphrise.images.packed_store import PackedStore
from graphrise.images.store import open_store


@pytest.fixture
def mixed(make, tmp_path):
    """Dataset of a file, a column's bytes, and a file that is missing."""
    folder = tmp_path / "d"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.png").write_bytes(make.noisy((9, 9, 9), 0))
    rows = [
        {"image_id": "a", "split": "x", "path": "sub/a.png", "image": None},
        {"image_id": "b", "split": "x", "path": "gone", "image": make.noisy((200, 200, 200), 1)},
        {"image_id": "c", "split": "x", "path": "gone", "image": None},
    ]
    return make.save_tables(folder, rows)


def opened(folder):
    return open_store(folder, read_images(folder))


def test_files_and_bytes_of_one_table(make, mixed):
    store = opened(mixed)
    assert len(store) == 3
    assert bytes(store.read(0)) == make.noisy((9, 9, 9), 0)
    assert bytes(store.read(1)) == make.noisy((200, 200, 200), 1)
    assert [store.image_id(row) for row in range(3)] == ["a", "b", "c"]
    assert store.source(0) == str(mixed / "sub" / "a.png")
    assert store.source(1) == "column 'image'"
    with pytest.raises(BadImage, match="No such file"):
        store.read(2)
    assert str(store.error(2, "why")) == (
        f"{mixed}: image_id 'c' ({mixed / 'gone'}) cannot be read: why"
    )


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_a_column_is_not_copied(make, tmp_path, kind):
    data = [make.noisy((1, 2, 3), seed) for seed in range(5)]
    chunks = pa.chunked_array([data[:2], data[2:]], kind)
    columns = {"image_id": pa.array(range(5)), "split": pa.array(["x"] * 5), "image": chunks}
    store = open_store(tmp_path, ImageTable(tmp_path, pa.table(columns)))
    assert [bytes(store.read(row)) for row in range(5)] == data
    values = chunks.chunk(1).buffers()[2]
    place = np.frombuffer(store.read(3), np.uint8).ctypes.data - values.address
    assert place == len(data[2])


@pytest.mark.parametrize(
    ("column", "values"), [("image", ["text"]), ("image", [[1, 2]]), ("path", [7])]
)
def test_a_column_of_another_type_is_an_error(make, tmp_path, column, values):
    rows = [{"image_id": i, "split": "x", column: value} for i, value in enumerate(values)]
    folder = make.save_tables(tmp_path / "d", rows)
    with pytest.raises(DataError, match=f"column '{column}' must hold"):
        opened(folder)


@pytest.fixture
def packed(dataset, monkeypatch):
    """The coloured dataset, packed in parts of 4 images."""
    monkeypatch.setattr("graphrise.images.pack.PART_ROWS", 4)
    pack(dataset, workers=1)
    return dataset


def test_random_access_to_a_pack(packed):
    store, ids = opened(packed), read_images(packed).ids
    assert isinstance(store, PackedStore)
    assert len(store) == len(ids) == 15
    rows = np.random.default_rng(0).permutation(15).tolist()
    assert [store.image_id(row) for row in rows] == [ids[row] for row in rows]
    part = pa.ipc.open_file(packed / "packed" / "part-00002.arrow").read_all()
    assert bytes(store.read(9)) == part.column("image")[1].as_py()
    assert store.source(9) == str(packed / "packed" / "part-00002.arrow")
    again = pickle.loads(pickle.dumps(store))
    assert bytes(again.read(14)) == bytes(store.read(14))
    assert len(pickle.dumps(store)) < 5000


def test_a_pack_is_mapped_when_asked_for_and_not_copied(packed):
    store = opened(packed)
    places = [np.frombuffer(store.read(row), np.uint8).ctypes.data for row in (4, 5, 6, 7)]
    sizes = [len(store.read(row)) for row in (4, 5, 6)]
    assert np.diff(places).tolist() == sizes
    # Parts 0, 2 and 3 were not touched: gone, they are not missed.
    for part in (0, 2, 3):
        (packed / "packed" / f"part-{part:05d}.arrow").unlink()
    assert len(store.read(7)) > 100
    with pytest.raises(DataError, match=r"part-00002\.arrow: cannot be read"):
        store.read(8)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc")
def test_a_part_leaves_no_open_file(packed):
    store = opened(packed)
    views = [store.read(row) for row in range(len(store))]
    names = [os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir()]
    assert not [name for name in names if name.startswith(str(packed))]
    assert all(bytes(view[:4]) == b"\x89PNG" for view in views)


def test_another_table_needs_another_pack(packed):
    table = pq.read_table(packed / "images.parquet")
    pq.write_table(table.take(pa.array([1, 0, *range(2, 15)])), packed / "images.parquet")
    with pytest.raises(DataError, match=r"another images\.parquet; run `graphrise pack .*overwr"):
        opened(packed)
    pq.write_table(table.slice(0, 14), packed / "images.parquet")
    with pytest.raises(DataError, match=r"another images\.parquet"):
        opened(packed)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"version": 2}', '{"version": 1}', '{"version": 1, "digest": 3}']
)
def test_a_damaged_manifest_is_an_error(packed, content):
    (packed / "packed" / "pack.json").write_text(content)
    with pytest.raises(DataError, match=r"pack\.json: .*--overwrite"):
        opened(packed)


def test_a_damaged_part_is_an_error(packed):
    part = packed / "packed" / "part-00000.arrow"
    content = part.read_bytes()
    part.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"part-00000\.arrow: its size"):
        opened(packed).read(0)
    part.write_bytes(bytes(len(content)))
    with pytest.raises(DataError, match=r"part-00000\.arrow: cannot be read"):
        opened(packed).read(0)
    part.write_bytes(content)
    other = packed / "packed" / "part-00001.arrow"
    manifest = packed / "packed" / "pack.json"
    manifest.write_text(manifest.read_text().replace('"images": 15', '"images": 2'))
    with pytest.raises(DataError, match=r"part-00000\.arrow: not as pack\.json says"):
        PackedStore(packed / "packed").read(0)
    assert other.exists()


def test_without_the_manifest_a_pack_is_not_used(packed):
    (packed / "packed" / "pack.json").unlink()
    assert not isinstance(opened(packed), PackedStore)


def table_of(ids, paths, cut):
    arrays = {"image_id": pa.array(ids), "path": pa.array(paths, pa.string())}
    table = pa.table(arrays)
    return ImageTable(Path(), pa.concat_tables([table.slice(0, cut), table.slice(cut)]))


@given(
    paths=st.lists(st.none() | st.text(max_size=3), min_size=1, max_size=6),
    data=st.data(),
)
def test_the_digest_is_of_values_not_chunks(paths, data):
    ids = [f"i{i}" for i in range(len(paths))]
    cut = data.draw(st.integers(0, len(paths)))
    whole = digest(table_of(ids, paths, 0))
    assert digest(table_of(ids, paths, cut)) == whole
    row = data.draw(st.integers(0, len(paths) - 1))
    other = data.draw((st.none() | st.text(max_size=3)).filter(lambda p: p != paths[row]))
    assert digest(table_of(ids, [*paths[:row], other, *paths[row + 1 :]], cut)) != whole
    assert digest(table_of(list(range(len(paths))), paths, cut)) != whole


def test_numbers_and_their_text_are_not_the_same_ids():
    assert digest(table_of([1, 2], ["a", "b"], 0)) != digest(table_of(["1", "2"], ["a", "b"], 0))
    assert pack_format.part_name(7) == "part-00007.arrow"
