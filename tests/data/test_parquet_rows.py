"""Rows of Parquet files of others."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphrise.data import parquet_rows as module
from graphrise.data.parquet_rows import parquet_rows, picture
from graphrise.errors import DataError


@pytest.fixture
def file(tmp_path):
    rows = [{"a": i, "b": str(i), "c": [i]} for i in range(10)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "some.parquet", row_group_size=4)
    return tmp_path / "some.parquet"


@pytest.mark.parametrize("batch", [1, 3, 256])
def test_some_columns_of_some_rows(file, batch, monkeypatch):
    monkeypatch.setattr(module, "BATCH", batch)
    assert list(parquet_rows(file, ("b",))) == [{"b": str(i)} for i in range(10)]
    keep = np.arange(10) % 3 == 0
    assert [r["a"] for r in parquet_rows(file, ("a", "c"), keep=keep)] == [0, 3, 6, 9]


def test_no_such_column_and_no_parquet(file, tmp_path):
    with pytest.raises(DataError, match=r"some.parquet: column 'd' is missing"):
        list(parquet_rows(file, ("d",)))
    (tmp_path / "text").write_text("text")
    with pytest.raises(DataError, match="text: not a readable Parquet file"):
        list(parquet_rows(tmp_path / "text", ("a",)))


def test_pictures_plain_and_in_a_struct():
    file = Path("a.parquet")
    assert picture(b"x", file) == picture({"bytes": b"x", "path": None}, file) == b"x"
    assert picture(None, file) is None
    assert picture({"bytes": None, "path": "gone.png"}, file) is None
    with pytest.raises(DataError, match=r"a.parquet: .* it is str"):
        picture("x.png", file)
