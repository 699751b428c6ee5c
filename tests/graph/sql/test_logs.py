"""What is wrong in a log is one error that names file, column, row and value, or a count."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphrise.config import CoclickConfig, GraphConfig
from graphrise.errors import DataError
from graphrise.graph.build import build_graph, require_labels

GOOD = [(0, "q", "a", 1), (0, "q", "b", 1)]


def build(folder, **settings):
    return build_graph(folder, folder / "graph", GraphConfig(**settings), overwrite=True)


@pytest.mark.parametrize("bad", [-1.0, 0.5, float("nan"), float("inf"), 1e13, None])
def test_a_count_that_is_none(logged, bad):
    folder = logged([*GOOD, (1, "q", "c", bad)])
    shown = "null" if bad is None else str(bad)
    message = rf"impressions\.parquet: column 'clicked', row 2 \(image_id 'c'\): {shown} must be"
    with pytest.raises(DataError, match=message + " a whole .*; correct the row or remove it"):
        build(folder)


@pytest.mark.parametrize("column", [0, 1, 2])
def test_null(logged, column):
    name = ("session", "query", "image_id")[column]
    bad = tuple(None if i == column else v for i, v in enumerate((1, "q", "c", 1)))
    with pytest.raises(DataError, match=rf"column '{name}', row 2.*null.*remove"):
        build(logged([*GOOD, bad]))


def test_an_unknown_image_stops_or_is_counted(logged, read):
    folder = logged([*GOOD, (0, "q", "zz", 1), (1, "q", "yy", 0)])
    message = r"column 'image_id', row 2: 'zz' is not in images\.parquet \(2 such rows\).*drop"
    with pytest.raises(DataError, match=message):
        build(folder)
    graph = build(folder, on_unknown_image="drop")
    assert graph.info["counts"]["impressions_of_unknown_images"] == 2
    assert "2 rows of impressions with unknown images left out" in graph.info["warnings"]
    assert set(read.edges(graph)) == {("a", "b"), ("b", "a")}


def test_the_part_file_is_named(logged):
    folder = logged(GOOD)
    whole = folder / "impressions.parquet"
    table = pq.read_table(whole)
    whole.unlink()
    whole.mkdir()
    pq.write_table(table, whole / "1.parquet")
    bad = pa.table(
        {**dict(zip(table.column_names, table.columns, strict=True)), "clicked": [0, -5]}
    )
    pq.write_table(bad, whole / "2.parquet")
    with pytest.raises(
        DataError, match=r"2\.parquet: column 'clicked', row 1 \(image_id 'b'\): -5"
    ):
        build(folder)


def test_a_missing_column_and_table(logged):
    folder = logged(GOOD)
    log = folder / "impressions.parquet"
    pq.write_table(pq.read_table(log).drop_columns(["query"]), log)
    with pytest.raises(DataError, match=r"impressions\.parquet: column 'query' is missing; it has"):
        build(folder)
    log.unlink()
    with pytest.raises(
        DataError, match=r"nothing to build edges from: none of the tables impressions,"
    ):
        build(folder)
    log.mkdir()
    with pytest.raises(DataError, match=r"holds no \.parquet file"):
        build(folder)


@pytest.mark.parametrize("values", [["yes", "no"], [["x"], ["y"]]])
def test_clicked_of_another_type(logged, values):
    folder = logged([(s, q, i, v) for (s, q, i, _), v in zip(GOOD, values, strict=True)])
    with pytest.raises(DataError, match=r"column 'clicked' must be boolean or a count") as caught:
        build(folder)
    assert "\n" not in str(caught.value)


def test_image_ids_of_two_types(make, tmp_path):
    images = [{"image_id": 1, "split": "train", "image": b"x"}]
    log = [{"session": 0, "query": "q", "image_id": "1", "clicked": True}]
    message = (
        r"impressions\.parquet: column 'image_id' is text and .* is integer; make them one type"
    )
    with pytest.raises(DataError, match=message):
        build(make.save_tables(tmp_path / "d", images, log))


def test_a_corrupt_log(logged):
    folder = logged([(s, f"query {s}", "a", 1) for s in range(2000)])
    log = folder / "impressions.parquet"
    whole = log.read_bytes()
    log.write_bytes(whole[:-50])
    with pytest.raises(DataError, match=r"impressions\.parquet: not a readable Parquet file"):
        build(folder)
    # The footer is whole, the pages are not.
    log.write_bytes(whole[:4] + b"\xff" * (len(whole) // 2) + whole[4 + len(whole) // 2 :])
    with pytest.raises(DataError, match=r"impressions\.parquet.*(damaged|not a readable)"):
        build(folder)


def test_part_files_that_do_not_fit_together(logged):
    folder = logged(GOOD)
    whole = folder / "impressions.parquet"
    table = pq.read_table(whole)
    whole.unlink()
    whole.mkdir()
    pq.write_table(table, whole / "1.parquet")
    odd = whole / "2.parquet"
    for ids, kind in (([1, 2], "integer"), ([[1], [2]], r"list<.*>")):
        pq.write_table(table.set_column(2, "image_id", pa.array(ids)), odd)
        message = rf"2\.parquet: column 'image_id' is {kind} and .* is text; make them"
        with pytest.raises(DataError, match=message):
            build(folder)
    pq.write_table(table.set_column(3, "clicked", pa.array([[1], [2]])), odd)
    with pytest.raises(DataError, match=r"2\.parquet: column 'clicked' must be boolean or a count"):
        build(folder)
    # Two ways to store text are one type.
    pq.write_table(table.set_column(2, "image_id", table[2].cast(pa.large_string())), odd)
    assert build(folder).info["counts"]["impressions_rows"] == 4


def test_quotes_in_a_path(logged, read):
    graph = build(logged(GOOD, name="it's a 'set'"))
    assert len(read.edges(graph)) == 2


def empty_log(ids):
    return pa.table(
        {
            "session": pa.array([], pa.int64()),
            "query": pa.array([], pa.string()),
            "image_id": pa.array([], ids),
            "clicked": pa.array([], pa.bool_()),
        }
    )


@pytest.mark.parametrize("weighting", ["idf_cosine", "coclick_rate"])
@pytest.mark.parametrize("ids", [pa.string(), pa.int64()])
def test_an_empty_log_builds_and_warns(logged, weighting, ids):
    folder = logged(GOOD, labels={"a": "x"})
    pq.write_table(empty_log(ids), folder / "impressions.parquet")
    graph = build(folder, coclick=CoclickConfig(weighting=weighting))
    assert graph.num_nodes == 8
    assert graph.num_edges == 0
    assert any("the log is empty" in w for w in graph.info["warnings"])
    assert any("cross-entropy only" in w for w in graph.info["warnings"])
    assert require_labels(graph, "given").counts.sum() == 1
    with pytest.raises(DataError, match="no image of the graph has a label of source 'queries'"):
        require_labels(graph, "queries")


@pytest.mark.parametrize("weighting", ["idf_cosine", "coclick_rate"])
def test_a_log_without_clicks_builds_and_warns(logged, weighting):
    folder = logged([(0, "q", "a", 0), (0, "q", "b", 0)])
    graph = build(folder, coclick=CoclickConfig(weighting=weighting))
    assert graph.num_edges == 0
    assert any("the log holds no click" in w for w in graph.info["warnings"])
    with pytest.raises(DataError, match=r"no labels of source 'given'.*`label` column"):
        require_labels(graph, "given")


def test_no_image_in_the_splits(logged):
    with pytest.raises(DataError, match="no image has split a or b; the splits are train"):
        build(logged(GOOD), splits=("b", "a"))
