"""Lists of images as images.parquet."""

import pyarrow.parquet as pq
import pytest

from graphrise.data import listing
from graphrise.data.listing import Listed, fields, list_images, require_source
from graphrise.errors import DataError
from graphrise.images import open_images


@pytest.fixture
def source(make, tmp_path):
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for i in range(5):
        (folder / f"sub/{i}.png").write_bytes(make.noisy((50, 50, 50), i))
    return folder


def rows(count):
    for i in range(count):
        yield {"image_id": str(i), "path": f"sub/{i}.png", "split": f"s{i % 2}", "label": "a"}


def test_pictures_stay_where_they_are_and_are_found(source, tmp_path):
    listed = list_images(tmp_path / "deep/er/out", source, rows(5))
    assert listed.splits == {"s0": 3, "s1": 2}
    images, store = open_images(tmp_path / "deep/er/out")
    for i in range(5):
        assert bytes(store.read(i)) == (source / f"sub/{i}.png").read_bytes()
    assert not images.column("path")[0].startswith("/")


def test_through_symbolic_links_and_after_a_move(source, tmp_path):
    (tmp_path / "far/off").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far/off")
    list_images(tmp_path / "link/out", source, rows(1))
    store = open_images(tmp_path / "link/out")[1]
    assert store.read(0)
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    try:
        assert open_images(moved / "far/off/out")[1].read(0)
    finally:
        moved.rename(tmp_path)


def test_missing_pictures_are_counted_and_named(source, tmp_path):
    with pytest.raises(DataError, match=r"4 of 9 .*: sub/5.png, sub/6.png, sub/7.png; .*skip"):
        list_images(tmp_path / "out", source, rows(9))
    assert not (tmp_path / "out").exists()
    listed = list_images(tmp_path / "out", source, rows(9), missing="skip")
    assert (listed.missing, listed.splits.total()) == (4, 5)
    assert len(open_images(tmp_path / "out")[0]) == 5


def test_nothing_to_list(source, tmp_path):
    with pytest.raises(DataError, match="no image found"):
        list_images(tmp_path / "out", source, [])
    nowhere = [{"image_id": "x", "path": "x.png", "split": "train"}]
    with pytest.raises(DataError, match=r"1 of 1 listed images have no picture.*: x.png$"):
        list_images(tmp_path / "out", source, nowhere, missing="skip")


def test_rows_are_written_in_batches(source, tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "BATCH", 2)
    list_images(tmp_path / "out", source, rows(5))
    assert pq.ParquetFile(tmp_path / "out/images.parquet").num_row_groups == 3
    assert open_images(tmp_path / "out")[0].ids == ["0", "1", "2", "3", "4"]


def test_an_earlier_folder_is_replaced_only_when_asked(source, tmp_path):
    list_images(tmp_path / "out", source, rows(5))
    with pytest.raises(DataError, match="exists already"):
        list_images(tmp_path / "out", source, rows(2))
    list_images(tmp_path / "out", source, rows(2), overwrite=True)
    assert len(open_images(tmp_path / "out")[0]) == 2


def test_the_report_says_where_counts_are_not_as_published(tmp_path):
    listed = Listed()
    listed.splits.update({"train": 2000, "test": 3})
    listed.missing, listed.examples = 1, ["a.jpg"]
    report = listed.report(tmp_path, {"train": 2000, "test": 4, "val": 5}).splitlines()
    assert report[0].endswith("2,003 images (2,000 train, 3 test)")
    assert report[1:] == [
        "note: 1 listed images have no picture, left out: a.jpg",
        "note: 3 images of split test, 4 are published",
        "note: 0 images of split val, 5 are published",
    ]


def test_an_expected_file_that_is_not_there(source):
    require_source(source, "sub", "sub/0.png")
    with pytest.raises(DataError, match=r"pictures: b, c not found; .* that holds sub, b, c$"):
        require_source(source, "sub", "b", "c")


def test_fields_of_lines(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("header\n1  a b c \n\n2\tdé\n", encoding="utf-8")
    assert list(fields(file, 2, skip=1)) == [["1", "a b c"], ["2", "dé"]]
    with pytest.raises(DataError, match=r"list.txt: line 1 has 1 fields, expected are 2: 'header'"):
        list(fields(file, 2))
    file.write_bytes(b"1 a\n2 \xff\xfe\n")
    with pytest.raises(DataError, match=r"list.txt: not UTF-8"):
        list(fields(file, 2))
