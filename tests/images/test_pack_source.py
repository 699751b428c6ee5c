"""Column `image` read a part at a time: the same packs, and never much of it in memory."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphrise.data.tables import read_images
from graphrise.errors import DataError
from graphrise.images import pack as pack_module
from graphrise.images import pack_source
from graphrise.images.dataset import open_images
from graphrise.images.pack import pack
from graphrise.images.pack_part import PartJob, as_stream, write_part
from graphrise.images.pack_source import PackSource

PART = 10


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Ten images a part, three a read."""
    monkeypatch.setattr(pack_module, "PART_ROWS", PART)
    monkeypatch.setattr(pack_source, "BATCH", 3)


def table(make, start, stop, kind=None):
    """Rows with these ids; of type `kind`, or without column `image`."""
    columns = {
        "image_id": pa.array(range(start, stop)),
        "split": pa.array(["x"] * (stop - start)),
        "path": pa.array([f"{i}.png" for i in range(start, stop)]),
    }
    if kind is not None:
        # Every fourth is a file.
        data = [make.noisy((i, 9, 9), i) if i % 4 else None for i in range(start, stop)]
        columns["image"] = pa.array(data, kind)
    return pa.table(columns)


@pytest.fixture
def parts(make, tmp_path):
    """46 images in four part files, of both types, one without column `image`, one of nulls."""
    folder = tmp_path / "d"
    (folder / "images").mkdir(parents=True)
    tables = [
        table(make, 0, 17, pa.binary()),
        table(make, 17, 24),
        table(make, 24, 44, pa.large_binary()),
        table(make, 44, 46).append_column("image", pa.nulls(2)),
    ]
    for number, part in enumerate(tables):
        pq.write_table(part, folder / "images" / f"{number}.parquet", row_group_size=7)
    for i in range(46):
        (folder / f"{i}.png").write_bytes(make.noisy((9, i, 9), i))
    return folder


@pytest.fixture
def reads(monkeypatch):
    """(file name, row group, rows) of every piece of column `image` that is decoded."""
    found = []
    real = pq.ParquetFile.iter_batches

    def spy(self, batch_size, *, row_groups, columns):
        assert columns == ["image"]
        for batch in real(self, batch_size, row_groups=row_groups, columns=columns):
            found.append((self.metadata.num_rows, *row_groups, len(batch)))
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    return found


def open_files(folder):
    """Names of files in a folder that this process has open."""
    names = [os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir()]
    return [name for name in names if name.startswith(str(folder))]


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.glob("part-*")}


def packed_in_memory(dataset, out, settings):
    """Parts as made from the whole table."""
    out.mkdir()
    images = read_images(dataset, ["image_id", "path", "image"])
    for part in range(-(-len(images) // PART)):
        rows = as_stream(images.table.schema, [images.table.slice(part * PART, PART)])
        write_part(PartJob(dataset, out, part, rows, settings, False))
    return contents(out)


def test_same_bytes_as_from_the_whole_table(parts, tmp_path):
    with_one, with_two = (
        pack(parts, tmp_path / str(workers), side=8, workers=workers) for workers in (1, 2)
    )
    settings = pack_module.read_json(with_one.folder / "settings.json")
    del settings["version"]
    whole = packed_in_memory(parts, tmp_path / "whole", settings)
    assert len(whole) == with_one.written == 5
    assert contents(with_one.folder) == contents(with_two.folder) == whole


def test_no_read_is_of_more_than_a_few_rows(parts, reads):
    images = read_images(parts, ["image_id", "path"])
    source = PackSource(images, range(5), PART)
    assert reads == []
    held = pa.concat_tables(source.read(0))
    assert source.schema.field("image").type == pa.large_binary()
    assert (held.num_rows, sum(rows for *_, rows in reads)) == (10, 10)
    assert max(rows for *_, rows in reads) == 3
    whole = read_images(parts).table.column("image")
    found = [held, *(rows for part in range(1, 5) for rows in source.read(part))]
    assert {table.schema for table in found} == {source.schema}
    assert pa.concat_tables(found).column("image").combine_chunks() == whole.combine_chunks()
    assert max(rows for *_, rows in reads) == 3
    assert sum(rows for *_, rows in reads) == 17 + 20 + 2


def test_a_part_is_read_when_a_process_wants_it(parts, reads, monkeypatch):
    seen = []
    monkeypatch.setattr(
        pack_module, "write_part", lambda job: (seen.append(len(reads)), write_part(job))
    )
    pack(parts, side=8, workers=1)
    # Row groups of 7 are read as 3, 3, 1; rows 0..9 as 3, 3, 1, 3.
    assert seen == [4, 7, 9, 14, 16]


def test_finished_parts_are_not_read_again(parts, reads):
    folder = pack(parts, side=8, workers=1).folder
    before = contents(folder)
    (folder / "part-00003.arrow").unlink()
    reads.clear()
    assert pack(parts, side=8, workers=1).written == 1
    assert contents(folder) == before
    # Rows 30..39: of the third file (20 rows from 24 on) all of row groups 0 and 1 and no more
    # of group 2 than reaches row 39.
    assert {(rows, group) for rows, group, _ in reads} == {(20, 0), (20, 1), (20, 2)}
    assert [rows for _, group, rows in reads if group == 2] == [3]
    reads.clear()
    assert pack(parts, side=8, workers=1).written == 0
    assert reads == []


def test_a_row_without_a_place_is_named(make, parts):
    file = parts / "images" / "2.parquet"
    rows = pq.read_table(file).to_pylist()
    rows[4]["path"] = rows[4]["image"] = None
    pq.write_table(pa.Table.from_pylist(rows), file)
    with pytest.raises(DataError, match=r"row 28 \(image_id 28\) has neither 'path' nor 'image'; "):
        pack(parts, side=8, workers=1)
    # Before it there is nothing wrong.
    assert sorted(contents(parts / "packed")) == ["part-00000.arrow", "part-00001.arrow"]


@pytest.mark.parametrize("left_out", ["image", "path"])
def test_without_one_of_the_columns(make, tmp_path, left_out):
    whole = table(make, 0, 12, pa.binary())
    folder = make.save_tables(tmp_path / "d", whole.drop_columns([left_out]))
    for i in range(12):
        (folder / f"{i}.png").write_bytes(make.noisy((9, i, 9), i))
    if left_out == "path":
        with pytest.raises(DataError, match=r"row 0 \(image_id 0\) has neither"):
            pack(folder, workers=1)
        some = whole.filter(whole.column("image").is_valid())
        folder = make.save_tables(tmp_path / "d", some.drop_columns(["path"]))
        assert pack(folder, workers=1, overwrite=True).images == 9
    else:
        assert pack(folder, workers=1).images == 12


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (pa.array([1, 2]), r"images: images part files do not fit together: "),
        (pa.array([[1], [2]]), r"images: images part files do not fit together: "),
    ],
)
def test_types_that_do_not_go_together(parts, images, message):
    other = pa.table({"image_id": [100, 101], "split": ["x", "x"], "image": images})
    pq.write_table(other, parts / "images" / "4.parquet")
    with pytest.raises(DataError, match=message):
        pack(parts, workers=1)


def test_a_file_that_changes_meanwhile(make, parts):
    images = read_images(parts, ["image_id", "path"])
    pq.write_table(table(make, 24, 30, pa.large_binary()), parts / "images" / "2.parquet")
    source = PackSource(images, range(5), PART)
    with pytest.raises(DataError, match=r"images\.parquet: changed while packing; run it again"):
        [list(source.read(part)) for part in range(5)]
    source = PackSource(images, range(5), PART)
    (parts / "images" / "2.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"2\.parquet: not a readable Parquet file"):
        [list(source.read(part)) for part in range(5)]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc")
def test_no_file_stays_open(make, parts):
    rows = pq.read_table(parts / "images" / "0.parquet")
    source = PackSource(read_images(parts, ["image_id", "path"]), range(5), PART)
    next(source.read(0))
    assert open_files(parts) == [str(parts / "images" / "0.parquet")]
    source.close()
    assert open_files(parts) == []
    bad = rows.set_column(3, "image", pa.array([b"nothing"] * len(rows)))
    pq.write_table(bad, parts / "images" / "0.parquet")
    with pytest.raises(DataError, match="image_id 0 "):
        pack(parts, workers=1)
    assert open_files(parts) == []


def test_training_reads_no_bytes_of_a_packed_dataset(parts, monkeypatch):
    table, before = open_images(parts)
    assert "image" in table.table.column_names
    pictures = [bytes(before.read(row)) for row in range(len(table))]
    pack(parts, side=16, workers=1)
    asked = []
    real = pq.ParquetFile.read
    monkeypatch.setattr(
        pq.ParquetFile,
        "read",
        lambda self, columns: (asked.append(columns), real(self, columns))[1],
    )
    table, store = open_images(parts)
    assert asked
    assert not any("image" in columns for columns in asked)
    assert table.table.column_names == ["image_id", "path", "split"]
    # Small PNGs are stored as they are.
    assert [bytes(store.read(row)) for row in range(len(table))] == pictures
    assert store.source(0) == str(parts / "packed" / "part-00000.arrow")
