"""Embeddings from a column, a Parquet file and a .npy: one matrix in the order of the nodes."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import DataError
from graphrise.graph.knn import embeddings
from graphrise.graph.knn.embeddings import read_embeddings

VALUES = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
IDS = [f"i{n}" for n in range(7)]
ROWS = np.array([0, 2, 3, 6])


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(embeddings, "BATCH", 2)


def images(folder, parts=(7,), **columns):
    """images.parquet of 7 rows, in parts of these lengths, with more columns (Arrow or lists)."""
    (folder / "images.parquet").mkdir(parents=True, exist_ok=True)
    table = pa.table({"image_id": IDS, **columns})
    for number, stop in enumerate(np.cumsum(parts)):
        part = table.slice(stop - parts[number], parts[number])
        pq.write_table(part, folder / "images.parquet" / f"part-{number}.parquet")
    return folder


def read(folder, where, rows=ROWS, ids=IDS):
    names = pa.chunked_array([pa.array(ids).take(pa.array(rows))])
    return read_embeddings(folder, str(where), rows, names, folder / "out.npy")


def as_lists(values, kind):
    rows = [None if row is None else list(row) for row in values]
    return pa.array(rows, type=kind)


def fails(folder, where, *words):
    with pytest.raises(DataError) as error:
        read(folder, where)
    for word in words:
        assert word in str(error.value)
    assert not (folder / "out.npy").exists()
    assert not list(folder.glob(".out*"))


@pytest.mark.parametrize("parts", [(7,), (3, 0, 4), (1, 1, 5)])
@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.large_list(pa.float64()),
        pa.list_(pa.float32(), 3),
        pa.list_(pa.float16()),
    ],
    ids=str,
)
def test_a_column(tmp_path, parts, kind):
    values = VALUES.astype(np.float16) if kind.value_type == pa.float16() else VALUES
    images(tmp_path, parts, vector=as_lists(values, kind))
    found = read(tmp_path, "vector")
    assert found.dtype == np.float32
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, values[ROWS].astype(np.float32))


def test_of_a_column_only_the_nodes_count(tmp_path):
    values: list = [list(row) for row in VALUES]
    values[1], values[4], values[5] = None, [1.0], [np.nan, 0, 0]
    images(tmp_path, vector=as_lists(values, pa.list_(pa.float32())))
    np.testing.assert_array_equal(read(tmp_path, "vector"), VALUES[ROWS])


@pytest.mark.parametrize(
    ("row", "value", "what"),
    [
        (0, None, "is null"),
        (0, [], "is empty"),
        (3, None, "is null"),
        (3, [1.0], "has 1 values, the first embedding has 3"),
        (6, [1.0, None, 2.0], "holds a null"),
        (6, [1.0, np.inf, 2.0], "holds NaN, infinity"),
        (2, [1.0, 1e39, 2.0], "too large for float32"),
    ],
)
def test_wrong_values_are_named(tmp_path, row, value, what):
    values: list = [list(map(float, r)) for r in VALUES]
    values[row] = value
    images(tmp_path, (5, 2), vector=as_lists(values, pa.list_(pa.float64())))
    part, place = (0, row) if row < 5 else (1, row - 5)
    at = f"part-{part}.parquet: column 'vector', row {place} (image_id 'i{row}')"
    fails(tmp_path, "vector", at, what)


def test_wrong_types_are_named(tmp_path):
    images(tmp_path, whole=as_lists(VALUES.astype(int), pa.list_(pa.int8())), word=IDS)
    fails(tmp_path, "whole", "part-0.parquet", "'whole'", "int8", "float32")
    fails(tmp_path, "word", "'word'", "string")


def test_a_column_that_a_part_lacks(tmp_path):
    images(tmp_path, (5, 2), vector=as_lists(VALUES, pa.list_(pa.float32())))
    pq.write_table(pa.table({"image_id": IDS[5:]}), tmp_path / "images.parquet/part-1.parquet")
    fails(tmp_path, "vector", "part-1.parquet", "'vector' is missing")


def test_nothing_there(tmp_path):
    images(tmp_path, vector=as_lists(VALUES, pa.list_(pa.float32())))
    fails(tmp_path, "vectors.parquet", "vectors.parquet", "image_id, vector", str(tmp_path))
    (tmp_path / "folder").mkdir()
    fails(tmp_path, "folder", "folder", "no .parquet file")


def embed_file(path, order, values=VALUES, ids=IDS):
    path.parent.mkdir(exist_ok=True)
    order = list(order)
    table = {
        "embedding": as_lists([values[n] for n in order], pa.list_(pa.float32(), 3)),
        "image_id": pa.array(ids).take(pa.array(order, type=pa.int64())),
    }
    pq.write_table(pa.table(table), path)


@given(st.permutations(range(7)), st.integers(0, 7), st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_file_in_any_order(tmp_path_factory, order, cut, numbers):
    folder = images(tmp_path_factory.mktemp("set"))
    ids = list(range(70, 77)) if numbers else IDS
    embed_file(folder / "parts" / "a.parquet", order[:cut], ids=ids)
    embed_file(folder / "parts" / "b.parquet", order[cut:], ids=ids)
    np.testing.assert_array_equal(read(folder, "parts", ids=ids), VALUES[ROWS])


def test_paths_start_at_the_dataset_then_here(tmp_path, monkeypatch):
    folder = images(tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    embed_file(tmp_path / "e.parquet", range(7))
    np.testing.assert_array_equal(read(folder, "e.parquet"), VALUES[ROWS])
    embed_file(folder / "e.parquet", range(7), values=-VALUES)
    np.testing.assert_array_equal(read(folder, "e.parquet"), -VALUES[ROWS])
    np.testing.assert_array_equal(read(folder, tmp_path / "e.parquet"), VALUES[ROWS])


def test_wrong_files_are_named(tmp_path):
    folder = images(tmp_path)
    embed_file(tmp_path / "few.parquet", [0, 1, 2])
    fails(folder, "few.parquet", "few.parquet", "2 of 4 images", "without embedding", "'i3'")
    embed_file(tmp_path / "twice.parquet", [0, 2, 3, 6, 3, 1, 1])
    fails(folder, "twice.parquet", "twice.parquet", "1 of 4", "more than once", "'i3'")
    pq.write_table(pa.table({"image_id": IDS}), tmp_path / "bare.parquet")
    fails(folder, "bare.parquet", "bare.parquet", "'embedding' is missing")
    embed_file(tmp_path / "numbers.parquet", range(7), ids=range(7))
    fails(folder, "numbers.parquet", "numbers.parquet", "int64", "string")
    embed_file(tmp_path / "floats.parquet", range(7), ids=np.arange(7.0))
    fails(folder, "floats.parquet", "floats.parquet", "double", "string")
    embed_file(tmp_path / "null.parquet", range(7), ids=[*IDS[:5], None, "i6"])
    fails(folder, "null.parquet", "null.parquet", "row 5", "is null")
    (tmp_path / "text.parquet").write_text("no")
    fails(folder, "text.parquet", "text.parquet", "not a readable Parquet file")
    bad = VALUES.copy()
    bad[3, 1] = np.nan
    embed_file(tmp_path / "nan.parquet", [5, 6, 3, 2, 1, 0], values=bad)
    fails(folder, "nan.parquet", "column 'embedding', row 2 (image_id 'i3')", "NaN")


@pytest.mark.parametrize(
    ("ids", "same"),
    [
        (np.arange(7, dtype=np.int32), list(range(7))),
        (pa.array(IDS, type=pa.large_string()), IDS),
        (IDS, pa.array(IDS, type=pa.large_string())),
    ],
)
def test_ids_of_another_width(tmp_path, ids, same):
    folder = images(tmp_path)
    embed_file(folder / "e.parquet", range(7), ids=ids)
    np.testing.assert_array_equal(read(folder, "e.parquet", ids=same), VALUES[ROWS])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_matrix(tmp_path, dtype, order):
    folder = images(tmp_path, (4, 3))
    np.save(folder / "e.npy", np.array(VALUES, dtype=dtype, order=order))
    expected = VALUES.astype(dtype)[ROWS].astype(np.float32)
    np.testing.assert_array_equal(read(folder, "e.npy"), expected)


def test_wrong_matrices_are_named(tmp_path):
    folder = images(tmp_path)
    wrong = {
        "rows": (VALUES[:6], ("6 rows", "has 7")),
        "whole": (VALUES.astype(np.int32), ("int32", "float64")),
        "flat": (VALUES[:, 0], ("one matrix",)),
        "objects": (np.array([{}]), ("not a readable .npy",)),
        "empty": (VALUES[:, :0], ("row 0", "is empty")),
        "nan": (np.where(np.arange(7)[:, None] == 6, np.nan, VALUES), ("row 6", "'i6'", "NaN")),
    }
    for name, (matrix, words) in wrong.items():
        np.save(folder / f"{name}.npy", matrix, allow_pickle=True)
        fails(folder, f"{name}.npy", f"{name}.npy", *words)
    (folder / "text.npy").write_text("no")
    fails(folder, "text.npy", "text.npy", "not a readable .npy")
