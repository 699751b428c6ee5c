"""images.parquet: what is read, and what is refused."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphrise.data.tables import read_images, table_files
from graphrise.errors import ConfigError, DataError


def rows_of(*ids, **columns):
    return [{"image_id": i, "image": b"x", "split": "train", **columns} for i in ids]


@pytest.fixture
def images(make, tmp_path):
    return lambda rows: read_images(make.save_tables(tmp_path / "d", rows))


def test_reads_rows_in_order(images):
    table = images([*rows_of("b", "a", label="x"), *rows_of("c", label=None)])
    assert len(table) == 3
    assert table.ids == ["b", "a", "c"]
    assert table.column("label") == ["x", "x", None]
    assert table.rows_in_splits(("train", "other")).tolist() == [0, 1, 2]
    assert table.select("label=x").tolist() == [0, 1]
    assert table.select("image_id=c").tolist() == [2]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string(), pa.int32(), pa.int64()])
def test_string_and_whole_number_ids(images, kind):
    values = [1, 2] if pa.types.is_integer(kind) else ["1", "2"]
    table = pa.table({"image_id": pa.array(values, kind), "image": [b"x"] * 2, "split": ["a"] * 2})
    assert images(table).ids == values


def test_part_files_in_order_of_name(make, tmp_path):
    folder = tmp_path / "d"
    for where in (folder / "images.parquet", folder / "images"):
        where.mkdir(parents=True)
        for name, ids in (("2", "c"), ("1", "ab")):
            pq.write_table(pa.Table.from_pylist(rows_of(*ids)), where / f"{name}.parquet")
        assert read_images(folder).ids == ["a", "b", "c"]
        assert [p.name for p in table_files(folder, "images")] == ["1.parquet", "2.parquet"]
        for part in where.iterdir():
            part.unlink()
        with pytest.raises(DataError, match=r"holds no \.parquet file"):
            read_images(folder)
        where.rmdir()


def test_part_files_may_lack_a_column_but_not_differ_in_type(tmp_path):
    parts = tmp_path / "images.parquet"
    parts.mkdir()
    pq.write_table(pa.Table.from_pylist(rows_of("a", label="x")), parts / "1.parquet")
    pq.write_table(pa.Table.from_pylist(rows_of("b")), parts / "2.parquet")
    assert read_images(tmp_path).column("label") == ["x", None]
    pq.write_table(pa.Table.from_pylist(rows_of(7)), parts / "2.parquet")
    with pytest.raises(DataError, match="part files do not fit together"):
        read_images(tmp_path)


def test_missing_folder_table_and_column(images, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such dataset folder"):
        read_images(tmp_path / "nowhere")
    (tmp_path / "clicks.parquet").touch()
    with pytest.raises(DataError, match=r"images\.parquet is missing.*holds clicks\.parquet"):
        read_images(tmp_path)
    for column in ("image_id", "split"):
        rows = [{k: v for k, v in rows_of("a")[0].items() if k != column}]
        with pytest.raises(DataError, match=rf"images\.parquet: column '{column}' is missing"):
            images(rows)
    with pytest.raises(DataError, match="needs a column 'path' or a column 'image'"):
        images([{"image_id": "a", "split": "train"}])
    with pytest.raises(
        DataError, match=r"column 'label' is missing; it has image_id, image, split"
    ):
        images(rows_of("a")).column("label")


def test_corrupt_parquet(images, make, tmp_path):
    folder = make.save_tables(tmp_path / "d", rows_of(*(f"image number {i}" for i in range(2000))))
    file = folder / "images.parquet"
    whole = file.read_bytes()
    for damaged in (b"", b"PAR1", whole[:-20], b"something else entirely"):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=r"images\.parquet: not a readable Parquet file"):
            read_images(folder)
    # The footer is whole, the pages are not.
    file.write_bytes(whole[:4] + b"\xff" * (len(whole) // 2) + whole[4 + len(whole) // 2 :])
    with pytest.raises(DataError, match=r"images\.parquet: not a readable Parquet file"):
        read_images(folder)


def test_no_image(images):
    table = pa.Table.from_pylist(rows_of("a"))
    with pytest.raises(DataError, match=r"images\.parquet: holds no image"):
        images(table.slice(0, 0))


def test_wrong_ids(images):
    with pytest.raises(DataError, match=r"column 'image_id': 'b' stands in rows 1 and 3;.*unique"):
        images(rows_of("a", "b", "c", "b"))
    with pytest.raises(DataError, match=r"7 stands in rows 0 and 1 \(2 ids are repeated\)"):
        images(rows_of(7, 7, 8, 8))
    with pytest.raises(DataError, match=r"column 'image_id', row 1: is null"):
        images(rows_of("a", None))
    with pytest.raises(DataError, match=r"must be string or int64, it is double"):
        images(rows_of(1.5))


def test_a_row_without_an_image(images):
    rows = [*rows_of("a", path="p"), {"image_id": "b", "split": "train", "label": "x"}]
    message = r"images\.parquet: row 1 \(image_id 'b'\) has neither 'path' nor 'image'; remove"
    with pytest.raises(DataError, match=message):
        images(rows)


def test_sets_that_are_not_there(images):
    table = images(rows_of("a", "b", vendor="apple"))
    with pytest.raises(ConfigError, match="'vendor' is not of the form column=value"):
        table.select("vendor")
    with pytest.raises(DataError, match="column 'maker' is missing"):
        table.select("maker=apple")
    with pytest.raises(DataError, match="no image has vendor=pear; values of 'vendor': apple"):
        table.select("vendor=pear")
