"""Edge lists both ways: CSV, TSV and Parquet."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import DataError
from graphrise.graph.convert.edge_list import read_edge_list, write_edge_list
from graphrise.graph.convert.from_edges import graph_from_edges, kind_bits
from graphrise.graph.store import COCLICK, GIVEN, KINDS, KNN, open_graph, save_graph

SUFFIXES = (".csv", ".tsv", ".parquet")


def written(folder, text, suffix=".csv"):
    path = folder / f"edges{suffix}"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def named_edges(graph):
    """{(source, target): (weight, kinds)}, each edge once."""
    ids = list(graph.image_ids)
    row = np.repeat(np.arange(graph.num_nodes), np.diff(graph.rowptr))
    return {
        (ids[u], ids[v]): (w, {n for n, bit in graph.kinds.items() if k & bit})
        for u, v, w, k in zip(row, graph.col, graph.weight, graph.kind, strict=True)
        if u < v
    }


# Text that CSV must quote, and text that looks like numbers or like nothing.
ODD = ["007", "7", "-1", "+1", "1.0", "a", 'q"', "n,\t", "\r\n", "NA", " 8"]
IDS = st.one_of(
    st.lists(st.text(min_size=1, max_size=4), unique=True, min_size=2, max_size=6),
    st.lists(st.sampled_from(ODD), unique=True, min_size=2, max_size=6),
    st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, min_size=2, max_size=6),
)


@st.composite
def graphs(draw):
    ids = draw(IDS)
    node = st.integers(0, len(ids) - 1)
    kinds = st.sets(st.sampled_from(["coclick", "given", "bought", "also viewed"]), min_size=1)
    edges = draw(st.dictionaries(st.tuples(node, node), kinds, max_size=9))
    bits = kind_bits({"bought", "also viewed", "unused"})
    return graph_from_edges(
        [u for u, _ in edges],
        [v for _, v in edges],
        [draw(st.floats(2**-149, 2.0**127, width=32)) for _ in edges],
        [sum(bits[name] for name in names) for names in edges.values()],
        image_ids=ids,
        kinds=bits,
    )


@settings(max_examples=60, deadline=None)
@given(graph=graphs())
def test_there_and_back(graph, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    for suffix in SUFFIXES:
        path = folder / f"edges{suffix}"
        write_edge_list(graph, path)
        # With the ids everything comes back, isolated images and their order too.
        back = read_edge_list(path, image_ids=graph.image_ids)
        assert back.image_ids == graph.image_ids
        for name in ("rowptr", "col", "weight"):
            np.testing.assert_array_equal(getattr(back, name), getattr(graph, name))
        assert named_edges(back) == named_edges(graph)
        # Without, images that have edges do, sorted.
        bare = read_edge_list(path)
        ends = {end for pair in named_edges(graph) for end in pair}
        if suffix != ".parquet" and all(str(e) == e and is_whole(e) for e in ends):
            ends = {int(e) for e in ends}
        assert list(bare.image_ids) == sorted(ends)
        found = {frozenset(map(str, pair)): of for pair, of in named_edges(bare).items()}
        assert found == {frozenset(map(str, pair)): of for pair, of in named_edges(graph).items()}


def is_whole(text):
    try:
        return -(2**63) <= int(text) < 2**63 and str(int(text)) == text
    except ValueError:
        return False


def test_what_is_written(make, tmp_path):
    graph = make.made_graph(5, [(2, 3, 0.25), (0, 3, 0.5), (0, 1, 0.1)], {0: {0: 1.0}})
    graph.kind[:] = COCLICK | KNN
    save_graph(graph, tmp_path / "g")
    want = [
        ("image-0", "image-1", "0.1"),
        ("image-0", "image-3", "0.5"),
        ("image-2", "image-3", "0.25"),
    ]
    for suffix, mark in ((".csv", ","), (".tsv", "\t")):
        for of in (graph, open_graph(tmp_path / "g")):
            write_edge_list(of, tmp_path / f"e{suffix}")
            lines = (tmp_path / f"e{suffix}").read_text().splitlines()
            fields = [line.replace('"', "").split(mark) for line in lines]
            assert fields[0] == ["source", "target", "weight", "kind"]
            assert fields[1:] == [[*row, "coclick+knn"] for row in want]
    write_edge_list(graph, tmp_path / "e.parquet")
    rows = pq.read_table(tmp_path / "e.parquet").to_pylist()
    assert [(r["source"], r["target"], r["weight"]) for r in rows] == [
        (u, v, float(np.float32(w))) for u, v, w in want
    ]
    assert {r["kind"] for r in rows} == {"coclick+knn"}


def test_blocks_do_not_show(make, tmp_path, monkeypatch):
    graph = make.made_graph(9, [(u, v, 1.0 + u) for u in range(8) for v in range(u + 1, 8)])
    for suffix in SUFFIXES:
        write_edge_list(graph, tmp_path / f"whole{suffix}")
    monkeypatch.setattr("graphrise.graph.draws.row_blocks.__defaults__", (3,))
    for suffix in SUFFIXES:
        write_edge_list(graph, tmp_path / f"parts{suffix}")
        if suffix != ".parquet":
            whole = (tmp_path / f"whole{suffix}").read_bytes()
            assert (tmp_path / f"parts{suffix}").read_bytes() == whole
    parts = pq.ParquetFile(tmp_path / "parts.parquet")
    assert parts.num_row_groups > 1
    assert parts.read().equals(pq.read_table(tmp_path / "whole.parquet"))


def test_written_whole_or_not_at_all(make, tmp_path, monkeypatch):
    graph = make.made_graph(3, [(0, 1, 1.0)])
    path = tmp_path / "e.csv"
    path.write_text("old")

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr("graphrise.graph.convert.edge_list.row_blocks", broken)
    with pytest.raises(OSError, match="disk full"):
        write_edge_list(graph, path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["e.csv"]


def test_a_list_of_ones_own(tmp_path):
    text = "kind,note,target,source,weight\n,x,b,a,0.5\nknn+bought,y,a,b,2\ncoclick,z,c,b,1e-3\n"
    graph = read_edge_list(written(tmp_path, text))
    assert list(graph.image_ids) == ["a", "b", "c"]
    assert graph.kinds == {**KINDS, "bought": 16}
    assert graph.kind.tolist() == [8 | 4 | 16, 8 | 4 | 16, 1, 1]
    assert graph.weight.tolist() == [2.0, 2.0, np.float32(1e-3), np.float32(1e-3)]
    mean = read_edge_list(written(tmp_path, text), symmetric="mean")
    assert mean.weight.tolist() == [1.25, 1.25, np.float32(5e-4), np.float32(5e-4)]
    assert graph.labels == {}
    save_graph(graph, tmp_path / "g")
    assert open_graph(tmp_path / "g", verify=True).image_ids == ["a", "b", "c"]


def test_the_order_of_rows_does_not_matter(tmp_path):
    rows = ["10,9,1,b", "9,2,2,a", "30,9,4,c", "2,10,0.5,b"]
    head = "source,target,weight,kind\n"
    one = read_edge_list(written(tmp_path, head + "\n".join(rows)))
    other = read_edge_list(written(tmp_path, head + "\n".join(rows[::-1]) + "\n"))
    assert list(one.image_ids) == [2, 9, 10, 30]  # as numbers, not as text
    assert list(other.image_ids) == list(one.image_ids)
    assert one.kinds == other.kinds
    for name in ("rowptr", "col", "weight", "kind"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_source_and_target_are_enough(tmp_path):
    graph = read_edge_list(written(tmp_path, "\ufeffsource,target\r\n1,2\r\n\r\n"))
    assert graph.image_ids == [1, 2]
    assert graph.weight.tolist() == [1.0, 1.0]
    assert graph.kind.tolist() == [GIVEN, GIVEN]
    table = pa.table({"target": pa.array([5], pa.int32()), "source": pa.array([3], pa.int32())})
    pq.write_table(table, tmp_path / "e.parquet")
    graph = read_edge_list(tmp_path / "e.parquet")
    assert graph.image_ids == [3, 5]
    assert graph.kind.tolist() == [GIVEN, GIVEN]
    kinds = {"source": [1, 1, 1], "target": [2, 3, 4], "kind": [None, "knn", ""]}
    pq.write_table(pa.table(kinds), tmp_path / "e.parquet")
    graph = read_edge_list(tmp_path / "e.parquet", image_ids=[1, 2, 3, 4])
    assert graph.kind[:3].tolist() == [GIVEN, KNN, GIVEN]


def test_no_edges(tmp_path):
    for suffix, mark in ((".csv", ","), (".tsv", "\t")):
        path = written(tmp_path, f"source{mark}target{mark}weight{mark}kind\n", suffix)
        assert read_edge_list(path).num_nodes == 0
        assert read_edge_list(path, image_ids=["a"]).num_nodes == 1


def test_the_tsv_of_neural_structured_learning(tmp_path):
    text = 'a"1\tb\t0.5\nb\ta"1\t0.5\nb\t"c\t0.75\n'
    graph = read_edge_list(written(tmp_path, text, ".tsv"))
    assert list(graph.image_ids) == ['"c', 'a"1', "b"]
    assert named_edges(graph) == {('"c', "b"): (0.75, {"given"}), ('a"1', "b"): (0.5, {"given"})}
    with pytest.raises(DataError, match="line 3, column 'weight': '0' is not finite and above 0"):
        read_edge_list(written(tmp_path, text.replace("0.75", "0"), ".tsv"))
    # Commas and four fields are a header that lacks a column.
    for suffix, wrong in ((".csv", text.replace("\t", ",")), (".tsv", "a\tb\t1\tx\n")):
        with pytest.raises(DataError, match="column 'source' is missing; it has a"):
            read_edge_list(written(tmp_path, wrong, suffix))


def test_three_columns_of_a_tsv_with_a_header(tmp_path):
    graph = read_edge_list(written(tmp_path, "source\ttarget\tweight\na\tb\t0.5\n", ".tsv"))
    assert named_edges(graph) == {("a", "b"): (0.5, {"given"})}


def test_lines_within_ids_across_blocks(tmp_path):
    ids = [f"{'x' * 9}\n{i:07d}\n{'y' * 9}" for i in range(60_000)]
    graph = graph_from_edges(range(59_999), range(1, 60_000), image_ids=ids)
    write_edge_list(graph, tmp_path / "e.csv")
    assert (tmp_path / "e.csv").stat().st_size > 2**21
    np.testing.assert_array_equal(read_edge_list(tmp_path / "e.csv").col, graph.col)


def test_only_images_that_are_asked_for(tmp_path):
    path = written(tmp_path, "source,target\n7,8\n7,9\n")
    assert read_edge_list(path, image_ids=["9", "x", "8", "7"]).col.tolist() == [3, 3, 0, 2]
    assert read_edge_list(path, image_ids=[9, 8, 7, 3]).image_ids == [9, 8, 7, 3]
    with pytest.raises(DataError, match="line 3, column 'target': '9' is not among the image_ids"):
        read_edge_list(path, image_ids=[7, 8])
    with pytest.raises(DataError, match="stands for more than one node"):
        read_edge_list(path, image_ids=[7, 8, 9, 8])
    with pytest.raises(DataError, match="image ids must be all strings or all int64"):
        read_edge_list(path, image_ids=[7, "8", 9])
    assert read_edge_list(written(tmp_path, "source,target\n"), image_ids=[]).num_nodes == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "edges.csv: column 'source' is missing"),
        ("source,weight\na,1\n", "edges.csv: column 'target' is missing; it has source, weight"),
        ("source,target,weight\na,b,1\na,c,x\n", "line 3, column 'weight': 'x' is not a number"),
        ("source,target,weight\na,b,\n", "line 2, column 'weight': '' is not a number"),
        ("source,target,weight\na,b,1\na,c,-1\n", "line 3, column 'weight': '-1' is not finite"),
        ("source,target,weight\na,b,inf\n", "line 2, column 'weight': 'inf' is not finite"),
        ("source,target,weight\na,b,1e-60\n", "line 2, column 'weight': '1e-60' is not finite"),
        ("source,target\na,b\n,c\n", "line 3, column 'source': '' is no image id"),
        ("source,target\na,b\na\n", r"edges.csv: not readable .*#3.*Expected 2 columns, got 1"),
        ("source,target,kind\na,b,\na,c,knn+\n", r"line 3, column 'kind': 'knn\+' has an empty n"),
        ("source,target,kind\n" + "".join(f"a,b,k{i}\n" for i in range(5)),
         "edges.csv: column 'kind': 5 kinds of edges of their own"),
        (b"source,target\n\xff,b\n", "edges.csv: not "),
        (b"\xff\xff", "edges.csv: not UTF-8 text"),
    ],
)  # fmt: skip
def test_a_text_that_is_wrong(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_edge_list(written(tmp_path, text))


def test_the_line_of_a_wrong_weight_in_a_later_block(tmp_path):
    rows = "".join(f"a{i},b{i},1.5\n" for i in range(90_000))
    for wrong, why in (("heavy", "is not a number"), ("0", "is not finite and above 0")):
        path = written(tmp_path, f"source,target,weight\n{rows}u,v,{wrong}\nw,x,0\n")
        with pytest.raises(DataError, match=f"line 90002, column 'weight': '{wrong}' {why}"):
            read_edge_list(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"source": ["a"]}, "column 'target' is missing; it has source"),
        ({"source": [0.5], "target": [1.0]}, "column 'source' must be string or int64, it is dou"),
        ({"source": [1], "target": ["a"]}, "source is int64 and target large_string"),
        ({"source": [1, None], "target": [2, 3]}, "row 1, column 'source': None is no image id"),
        ({"source": ["a"], "target": [""]}, "row 0, column 'target': '' is no image id"),
        ({"source": [1], "target": [2], "weight": [None]}, "row 0, column 'weight': None is not"),
        ({"source": [1], "target": [2], "weight": [[1.0]]}, "column 'weight': .* is not a number"),
        ({"source": [1, 1], "target": [2, 2], "weight": [1, -3]}, "row 1, column 'weight': -3 is"),
        ({"source": [1], "target": [2], "kind": [3]}, "column 'kind' must be string, it is int64"),
    ],
)
def test_a_parquet_that_is_wrong(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "e.parquet")
    with pytest.raises(DataError, match=message):
        read_edge_list(tmp_path / "e.parquet")


def test_files_that_are_none(make, tmp_path):
    with pytest.raises(DataError, match=r"nothing.csv: no such file"):
        read_edge_list(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match=r"an edge list is a .csv, .tsv or .parquet file"):
        read_edge_list(written(tmp_path, "source,target\n", ".txt"))
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_edge_list(written(tmp_path, "source,target\n", ".parquet"))
    graph = make.made_graph(3, [(0, 1, 1.0)])
    with pytest.raises(DataError, match=r"an edge list is a .csv, .tsv or .parquet file"):
        write_edge_list(graph, tmp_path / "e.csv.gz")
    graph.kinds["a+b"] = 16
    with pytest.raises(DataError, match=r"kind 'a\+b' has a '\+'"):
        write_edge_list(graph, tmp_path / "e.csv")
