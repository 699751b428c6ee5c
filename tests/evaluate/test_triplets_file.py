"""Triplets in files: what is read is what was written, and what is wrong is named."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.data.tables import ImageTable
from graphrise.errors import DataError
from graphrise.evaluate.triplets import Triplets
from graphrise.evaluate.triplets_file import read_triplets, write_triplets

NAMES = ("anchor", "positive", "negative")


def images_of(folder, ids):
    return ImageTable(folder, pa.table({"image_id": ids, "split": ["test"] * len(ids)}))


def rows_of(triplets):
    return np.stack([triplets.anchor, triplets.positive, triplets.negative], axis=1).tolist()


@pytest.fixture
def images(tmp_path):
    return images_of(tmp_path, ["a", "b", "c", "d", "007"])


@pytest.fixture
def saved(tmp_path):
    """Writes triplets of ids as Parquet or CSV; returns the file."""

    def save(rows, kind="parquet", types=None):
        file = tmp_path / f"triplets.{kind}"
        if kind == "csv":
            lines = [",".join(map(str, row)) for row in [NAMES, *rows]]
            file.write_text("\n".join(lines) + "\n")
        else:
            columns = zip(*rows, strict=True) if rows else ([], [], [])
            types = types or pa.string()
            pq.write_table(pa.table([pa.array(c, types) for c in columns], NAMES), file)
        return file

    return save


@settings(max_examples=40, deadline=None)
@given(
    ids=st.lists(st.text(min_size=1, max_size=4), min_size=3, max_size=8, unique=True)
    | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=8, unique=True),
    data=st.data(),
)
def test_what_is_read_is_what_was_written(tmp_path_factory, ids, data):
    three = st.permutations(range(len(ids))).map(lambda order: tuple(order[:3]))
    rows = data.draw(st.lists(three, min_size=1, max_size=9, unique=True))
    images = images_of(tmp_path_factory.mktemp("d"), ids)
    file = images.folder / "triplets.parquet"
    write_triplets(file, Triplets(*np.array(rows).T, skipped=3), images)
    found = read_triplets("triplets.parquet", images)
    assert [tuple(row) for row in rows_of(found)] == rows
    assert found.anchor.dtype == np.int64
    assert found.skipped == 0
    assert list(images.folder.iterdir()) == [file]


def test_csv_ids_stay_what_they_are(saved, images, tmp_path):
    rows = [("007", "a", "b"), ("d", "c", "007")]
    found = read_triplets(saved(rows, "csv"), images)
    assert rows_of(found) == [[4, 0, 1], [3, 2, 4]]
    numbers = images_of(tmp_path, [10, -3, 7])
    assert rows_of(read_triplets(saved([(7, 10, -3)], "csv"), numbers)) == [[2, 0, 1]]
    with pytest.raises(DataError, match=r"row 0: '007' is not in images\.parquet"):
        read_triplets(saved([("007", 10, -3)], "csv"), numbers)


def test_other_columns_and_orders_and_dictionaries(images, tmp_path):
    columns = {"votes": [3], "negative": ["a"], "anchor": ["b"], "positive": ["c"]}
    table = pa.table({n: pa.array(c).dictionary_encode() for n, c in columns.items()})
    pq.write_table(table, tmp_path / "t.parquet")
    assert rows_of(read_triplets("t.parquet", images)) == [[1, 2, 0]]
    (tmp_path / "t.csv").write_text('votes,negative,anchor,positive\n3,"a",b,c\n')
    assert rows_of(read_triplets("t.csv", images)) == [[1, 2, 0]]


def test_parts_and_the_working_directory(saved, images, tmp_path, monkeypatch):
    parts = tmp_path / "elsewhere" / "parts"
    parts.mkdir(parents=True)
    saved([("a", "b", "c")]).rename(parts / "1.parquet")
    saved([]).rename(parts / "2.parquet")
    saved([("b", "a", "d")]).rename(parts / "3.parquet")
    monkeypatch.chdir(parts.parent)
    assert rows_of(read_triplets("parts", images)) == [[0, 1, 2], [1, 0, 3]]
    saved([("c", "d", "a"), ("a", "b", "c")]).rename(parts / "3.parquet")
    message = r"3\.parquet: row 1 \(anchor 'a', .*\) stands in row 0 of .*1\.parquet already"
    with pytest.raises(DataError, match=message):
        read_triplets("parts", images)
    for part in parts.iterdir():
        part.unlink()
    with pytest.raises(DataError, match=r"parts: holds no \.parquet file"):
        read_triplets("parts", images)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no triplet"),
        ([("a", "b", "c"), ("a", "b", "zz")], r"column 'negative', row 1: 'zz' is not in images"),
        ([("a", "b", "c"), ("d", "d", "c")], r"'anchor' and 'positive', row 1: both are 'd'"),
        ([("a", "b", "c"), ("a", "d", "d")], r"'positive' and 'negative', row 1: both are 'd'"),
        ([("a", "b", "a")], r"'anchor' and 'negative', row 0: both are 'a'; .* three images"),
        (
            [("d", "b", "c"), ("a", "b", "c"), ("d", "c", "b"), ("a", "b", "c")],
            r"row 3 \(anchor 'a', positive 'b', negative 'c'\) stands in row 1 already",
        ),
    ],
)
def test_what_is_wrong_is_named(saved, images, kind, rows, message):
    file = saved(rows, kind)
    with pytest.raises(DataError, match=message) as caught:
        read_triplets(file, images)
    assert str(caught.value).startswith(str(file))


def test_columns_types_nulls_and_damage(saved, images, tmp_path):
    with pytest.raises(DataError, match=r"column 'positive', row 0: is null"):
        read_triplets(saved([("a", None, "c")]), images)
    with pytest.raises(DataError, match=r"column 'anchor' is int64 and image_id .* is string"):
        read_triplets(saved([(1, 2, 3)], types=pa.int64()), images)
    file = tmp_path / "t.csv"
    file.write_text("anchor,positive\na,b\n")
    with pytest.raises(DataError, match=r"t\.csv: column 'negative' is missing; it has anchor, po"):
        read_triplets("t.csv", images)
    file.write_text("anchor,positive,negative\na,b\n")
    with pytest.raises(DataError, match=r"t\.csv: not a readable CSV file \(.*columns"):
        read_triplets("t.csv", images)
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"anchor": ["a"], "negative": ["b"]}), file)
    with pytest.raises(DataError, match=r"t\.parquet: column 'positive' is missing; it has anchor"):
        read_triplets("t.parquet", images)
    file.write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"t\.parquet: not a readable Parquet file"):
        read_triplets("t.parquet", images)
    with pytest.raises(DataError, match=r"nothing\.csv: no such triplets file, neither in"):
        read_triplets("nothing.csv", images)
