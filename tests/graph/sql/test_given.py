"""Edges as they come: repeated rows, directions, kinds of their own, wrong weights."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.config import GivenConfig, GraphConfig
from graphrise.errors import DataError
from graphrise.graph.store import COCLICK, GIVEN, KINDS, KNN, SIMILAR

KIND_NAMES = (None, "given", "coclick", "knn", "zebra", "Äpfel")
images = st.sampled_from("abcdh")  # h is of another split
weights = st.sampled_from([0.25, 1 / 3, 0.5, 1.0, 3.0])
entries = st.lists(
    st.tuples(images, images, weights, st.sampled_from(KIND_NAMES)), min_size=1, max_size=30
)


def config_of(**settings):
    return GraphConfig(given=GivenConfig(**settings))


def bits_of(names):
    """Bit of every kind: those of `KINDS`, then 16, 32, ... in order of names."""
    own = sorted(set(names) - set(KINDS))
    return KINDS | {name: 16 << n for n, name in enumerate(own)}


@settings(max_examples=20, deadline=None)
@given(
    table=entries,
    symmetric=st.sampled_from(["max", "mean", "sum"]),
    min_weight=st.sampled_from([0.0, 1 / 3, 0.4]),
    top_k=st.sampled_from([None, 1, 2]),
    scale=st.sampled_from([1.0, 0.1, 7.0]),
    with_kind=st.booleans(),
)
def test_given_edges_equal_plain_python(
    tabled, of_columns, plain_pairs, read, build, table, scale, with_kind, **rules
):
    table = table if with_kind else [entry[:3] for entry in table]
    config = config_of(scale=scale, **rules)
    graph = build(tabled("dcbah", held="h", edges=table), config)
    truth = plain_pairs("dcba")
    want = truth.given(of_columns("edges", table), config.given)
    bits = bits_of(want)
    assert graph.kinds == bits
    assert read.pairs(graph) == truth.merged([(bits[k], scale, want[k]) for k in want])
    counts = graph.info["counts"]
    assert {k: counts[f"{k}_edges"] for k in want} == {k: len(want[k]) for k in want}
    assert counts["edges_of_other_splits"] == sum("h" in entry[:2] for entry in table)


@pytest.mark.parametrize(
    ("symmetric", "both", "one"), [("max", 3.0, 1.0), ("mean", 2.0, 0.5), ("sum", 4.0, 1.0)]
)
def test_two_directions_and_one(tabled, read, build, symmetric, both, one):
    # Of a row that is repeated the heaviest counts, whatever the order.
    table = [("a", "b", 3.0), ("a", "b", 2.0), ("b", "a", 1.0), ("c", "b", 0.25), ("c", "b", 1.0)]
    found = read.pairs(build(tabled("abc", edges=table), config_of(symmetric=symmetric)))
    assert found == {("a", "b"): (both, GIVEN), ("b", "c"): (one, GIVEN)}


def test_self_pairs_are_no_edges(tabled, read, build):
    table = [("a", "a", 1.0, None), ("b", "b", 1.0, "own"), ("a", "b", 1.0, None)]
    graph = build(tabled("ab", edges=table), GraphConfig())
    assert read.pairs(graph) == {("a", "b"): (1.0, GIVEN)}
    counts = graph.info["counts"]
    assert (counts["given_edges"], counts["own_edges"]) == (1, 0)
    assert (counts["edges_rows"], counts["edges_self_pairs"]) == (3, 2)
    assert graph.info["warnings"] == ["2 rows of edges with an image and itself left out"]


def test_own_kinds_get_bits_in_the_order_of_names(tabled, read, build):
    # Quotes and backslashes are only letters; known names keep their bits.
    names = ["z", "it's \\", "Z", "ä", "coclick", "similar", "knn", None]
    table = [("a", image, 1.0, name) for image, name in zip("bcdefghi", names, strict=True)]
    graph = build(tabled("abcdefghi", edges=table), GraphConfig())
    assert graph.kinds == KINDS | {"Z": 16, "it's \\": 32, "z": 64, "ä": 128}
    assert [bits for _, bits in read.pairs(graph).values()] == [
        *(64, 32, 16, 128),
        *(COCLICK, SIMILAR, KNN, GIVEN),
    ]


def test_more_than_four_own_kinds(tabled, build):
    table = [("a", "b", 1.0, name) for name in "vwxyz"]
    folder = tabled("ab", edges=table)
    with pytest.raises(DataError, match=r"edges\.parquet: column 'kind' has more than four kinds"):
        build(folder, GraphConfig())
    assert not (folder / "graph").exists()
    build(tabled("ab", edges=table[1:]), GraphConfig())


@pytest.mark.parametrize("kind", [pa.null(), pa.string(), pa.dictionary(pa.int8(), pa.string())])
def test_a_column_of_null_kinds_is_given(tabled, read, build, kind):
    folder = tabled("ab", edges=[("a", "b", 2.0)])
    table = pq.read_table(folder / "edges.parquet")
    pq.write_table(
        table.append_column("kind", pa.array([None]).cast(kind)), folder / "edges.parquet"
    )
    assert read.pairs(build(folder, GraphConfig())) == {("a", "b"): (2.0, GIVEN)}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, None])
def test_a_weight_that_is_none(tabled, build, bad):
    folder = tabled("abh", held="h", edges=[("a", "b", 1.0), ("b", "h", bad)])
    shown = "null" if bad is None else bad
    message = rf"edges\.parquet: column 'weight', row 1: {shown} must be finite and above 0; corr"
    with pytest.raises(DataError, match=message):
        build(folder, GraphConfig())
    assert not (folder / "graph").exists()


@pytest.mark.parametrize("column", ["source", "target"])
def test_null_and_unknown_images(tabled, read, build, column):
    odd = {"source": "b", "target": "a", column: None}
    good = ("a", "b", 1.0)
    folder = tabled("ab", edges=[good, (odd["source"], odd["target"], 1.0)])
    with pytest.raises(DataError, match=rf"column '{column}', row 1: null must not be null"):
        build(folder, GraphConfig())
    odd[column] = "zz"
    folder = tabled("ab", edges=[good, (odd["source"], odd["target"], 5.0)])
    with pytest.raises(DataError, match=rf"column '{column}', row 1: 'zz' is not in images"):
        build(folder, GraphConfig())
    graph = build(folder, GraphConfig(on_unknown_image="drop"))
    assert read.pairs(graph) == {("a", "b"): (1.0, GIVEN)}
    assert graph.info["counts"]["edges_of_unknown_images"] == 1


def test_columns_of_a_wrong_type_or_missing(tabled, build):
    for row, message in (
        (("a", "b", "heavy"), r"column 'weight' must be a number, it is text"),
        (("a", "b", True), r"column 'weight' must be a number, it is boolean"),
        (("a", "b", 1.0, 7), r"column 'kind' must be text, it is integer"),
        (("a", 7, 1.0), r"column 'target' is integer and image_id .* is text; make them one type"),
        (("a", "b"), r"column 'weight' is missing; it has source, target"),
    ):
        with pytest.raises(DataError, match=rf"edges\.parquet: {message}"):
            build(tabled("ab", edges=[row]), GraphConfig())


@pytest.mark.parametrize("with_kind", [False, True])
@pytest.mark.parametrize("ids", [pa.string(), pa.int64()])
def test_a_table_without_rows(tabled, build, with_kind, ids):
    folder = tabled("ab", edges=[("a", "b", 1.0)])
    columns = {"source": ids, "target": ids, "weight": pa.float64()}
    columns |= {"kind": pa.string()} if with_kind else {}
    empty = pa.schema(list(columns.items())).empty_table()
    pq.write_table(empty, folder / "edges.parquet")
    graph = build(folder, GraphConfig())
    assert graph.info["counts"]["given_edges"] == 0
    assert "the graph has no edges: training on it is cross-entropy only" in graph.info["warnings"]
    with pytest.raises(DataError, match=r"graph\.kinds has given, but .* leave no edge"):
        build(folder, GraphConfig(kinds=("given",)))


def test_whole_number_ids_and_weights(tabled, read, build):
    graph = build(tabled([9, 2**40, 4], edges=[(2**40, 9, 3), (4, 9, 2)]), GraphConfig())
    assert read.pairs(graph) == {(9, 2**40): (3.0, GIVEN), (9, 4): (2.0, GIVEN)}
