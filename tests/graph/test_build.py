"""The builder's SQL against plain Python on random logs."""

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.config import CoclickConfig, GraphConfig, QueryConfig
from graphrise.graph.store import COCLICK

NAMES = ("session", "query", "image_id", "clicked")
IMAGES = "abcdef"
RULES = ["idf_cosine", "jaccard", "shared_queries", "coclick_rate", "coclick_count"]
entries = st.lists(
    st.tuples(
        st.integers(0, 4), st.sampled_from("xyz"), st.sampled_from(IMAGES), st.integers(0, 3)
    ),
    min_size=1,
    max_size=40,
)


def tables(log):
    columns = list(zip(*log, strict=True))
    return pa.table({name: pa.array(c) for name, c in zip(NAMES, columns, strict=True)})


def dataset_of(make, folder, log):
    images = [{"image_id": i, "split": "train", "image": b"not read"} for i in IMAGES]
    return make.save_tables(folder, images, tables(log))


def as_rows(log):
    return [dict(zip(NAMES, entry, strict=True)) for entry in log]


def coclick(**settings):
    return GraphConfig(coclick=CoclickConfig(**settings))


@pytest.mark.parametrize("weighting", RULES)
@settings(max_examples=15, deadline=None)
@given(log=entries, cap=st.sampled_from([2, 3, 200]), support=st.integers(1, 2))
def test_weights_equal_plain_python(
    make, plain, read, build, tmp_path_factory, weighting, log, cap, support
):
    cap = 200 if weighting.startswith("coclick_") else cap
    config = coclick(weighting=weighting, images_per_query=cap, support=support, top_k=None)
    graph = build(dataset_of(make, tmp_path_factory.mktemp("d"), log), config)
    truth = plain(as_rows(log), config)
    want = truth.weights()
    got = read.edges(graph)
    assert got == pytest.approx({**want, **{(v, u): w for (u, v), w in want.items()}}, rel=1e-6)
    if not weighting.endswith(("queries", "count")):
        assert all(0 < w <= 1 for w in got.values())
    assert all(u != v for u, v in got)
    counts = graph.info["counts"]
    assert counts["clicked_pairs_over_cap"] == (0 if cap == 200 else truth.cut())
    assert counts["impressions_rows"] == len(log)
    assert counts["clicks"] == sum(clicks for *_, clicks in log)


@pytest.mark.parametrize("weighting", ["share", "idf"])
@settings(max_examples=25, deadline=None)
@given(log=entries)
def test_query_labels_equal_plain_python(
    make, plain, read, build, tmp_path_factory, weighting, log
):
    config = GraphConfig(queries=QueryConfig(weighting=weighting))
    graph = build(dataset_of(make, tmp_path_factory.mktemp("d"), log), config)
    truth = plain(as_rows(log), config)
    got, want = read.labels(graph), truth.query_labels()
    assert got.keys() == want.keys()
    for image in want:
        # The builder rounds an idf down to whole units of 2^-20, which the shares inherit.
        assert got[image] == pytest.approx(want[image], rel=4e-6)
    clicks = {q: sum(n for (p, _), n in truth.clicked.items() if p == q) for q in truth.images_of}
    assert graph.vocabulary["queries"] == sorted(clicks, key=lambda q: (-clicks[q], q))


@settings(max_examples=25, deadline=None)
@given(log=entries, top_k=st.integers(1, 3), weighting=st.sampled_from(RULES))
def test_top_k_keeps_what_either_end_keeps(
    make, read, build, tmp_path_factory, log, top_k, weighting
):
    folder = dataset_of(make, tmp_path_factory.mktemp("d"), log)
    full = read.edges(build(folder, coclick(weighting=weighting, top_k=None)))
    cut = read.edges(build(folder, coclick(weighting=weighting, top_k=top_k)))
    want = set()
    for u in IMAGES:
        best = sorted((-w, v) for (s, v), w in full.items() if s == u)[:top_k]
        want |= {(u, v) for _, v in best} | {(v, u) for _, v in best}
    assert cut == {pair: full[pair] for pair in want}


@settings(max_examples=15, deadline=None)
@given(log=entries, seed=st.integers(0, 99), top_k=st.integers(1, 2))
def test_row_order_and_part_files_change_nothing(make, build, tmp_path_factory, log, seed, top_k):
    shuffled = list(log)
    random.Random(seed).shuffle(shuffled)
    config = coclick(top_k=top_k, images_per_query=3)
    folder = tmp_path_factory.mktemp("d")
    one = build(dataset_of(make, folder / "one", log), config)
    parts = dataset_of(make, folder / "parts", log)
    whole = parts / "impressions.parquet"
    whole.unlink()
    whole.mkdir()
    for number, part in enumerate((shuffled[::2], shuffled[1::2])):
        if part:
            pq.write_table(tables(part), whole / f"part-{number}.parquet")
    other = build(parts, config)
    for name in ("rowptr", "col", "weight", "kind"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.vocabulary == other.vocabulary
    assert one.info["counts"] == other.info["counts"]
    for name in ("rowptr", "index", "weight"):
        np.testing.assert_array_equal(
            getattr(one.labels["queries"], name), getattr(other.labels["queries"], name)
        )


def test_by_hand(logged, read, build):
    # Shown together in three lists of query q, clicked together in one: 1/3.
    log = [
        (s, "q", i, clicked)
        for s, both in ((0, 1), (1, 0), (2, 0))
        for i, clicked in (("a", 1), ("b", both))
    ]
    folder = logged(log)
    got = read.edges(build(folder, coclick(weighting="coclick_rate")))
    assert got == {("a", "b"): pytest.approx(1 / 3), ("b", "a"): pytest.approx(1 / 3)}
    # One query only: both click vectors point the same way.
    assert read.edges(build(folder, GraphConfig())) == {("a", "b"): 1, ("b", "a"): 1}


def test_the_same_session_number_under_two_queries_is_two_lists(logged, read, build):
    log = [(1, "q", "a", 1), (1, "r", "b", 1), (2, "q", "b", 1), (2, "r", "a", 1)]
    assert read.edges(build(logged(log), coclick(weighting="coclick_rate"))) == {}


def test_an_image_shown_twice_in_a_list_counts_once(logged, read, build):
    log = [(0, "q", "a", 1), (0, "q", "a", 0), (0, "q", "b", 1), (1, "q", "a", 0), (1, "q", "b", 0)]
    found = read.edges(build(logged(log), coclick(weighting="coclick_rate")))
    assert found == {("a", "b"): 0.5, ("b", "a"): 0.5}


def test_equal_weights_go_to_the_lowest_node(logged, read, build):
    log = [(0, "q", i, 1) for i in "abcde"]
    found = read.edges(build(logged(log), coclick(top_k=1)))
    assert set(found) == {("a", i) for i in "bcde"} | {(i, "a") for i in "bcde"}


def test_equal_sums_tie_in_any_order_of_rows(logged, read, build):
    """Node a is as near to the twins b, c as to d, e: the same three terms, summed in any order."""
    log = []
    for pair, queries in (("bc", "uvw"), ("de", "xyz")):
        for clicks, query in enumerate(queries, start=1):
            log += [(s, query, i, 1) for i in ("a", *pair) for s in range(clicks)]
    found = set()
    for seed in range(20):
        random.Random(seed).shuffle(log)
        graph = build(logged(log, name=f"d{seed}"), coclick(top_k=1))
        found.add(tuple(sorted(read.edges(graph).items())))
    assert len(found) == 1
    assert ("a", "b") in dict(found.pop())


def test_arrays_are_what_the_graph_says(logged, build):
    log = [(0, "q", i, 1) for i in "abc"] + [(1, "r", i, 1) for i in "cde"]
    graph = build(logged(log, labels={"a": "x", "e": "y", "b": "x"}), GraphConfig())
    assert (graph.rowptr.dtype, graph.col.dtype) == (np.int64, np.int32)
    assert (graph.weight.dtype, graph.kind.dtype) == (np.float32, np.uint8)
    assert set(graph.kind.tolist()) == {COCLICK}
    for u in range(graph.num_nodes):
        row = graph.col[graph.rowptr[u] : graph.rowptr[u + 1]]
        assert (np.diff(row) > 0).all()
    # Labels by falling frequency.
    assert graph.vocabulary["given"] == ["x", "y"]
    assert graph.labels["given"].top().tolist() == [0, 0, -1, -1, 1, -1, -1, -1]
    assert graph.info["dataset"] == "d"
    assert graph.info["config"]["coclick"]["top_k"] == 8
    assert graph.info["warnings"] == []


def test_the_cap_keeps_the_most_clicked_and_counts_the_cut(logged, read, build):
    log = [(s, "q", i, 1) for i, n in zip("abcd", (1, 4, 2, 3), strict=True) for s in range(n)]
    graph = build(logged(log), coclick(images_per_query=2))
    assert set(read.edges(graph)) == {("b", "d"), ("d", "b")}
    assert graph.info["counts"]["clicked_pairs_over_cap"] == 2
    assert "2 (query, image) pairs cut by coclick.images_per_query" in graph.info["warnings"]
    # The cap is on edges; the query stays a label of every image clicked for it.
    assert set(read.labels(graph)) == set("abcd")


def test_held_out_images_are_neither_nodes_nor_counted(logged, read, build):
    log = [(s, q, i, 1) for s, q in enumerate("qr") for i in "abch"]
    held = logged(log, splits={"h": "test", "c": "gallery"}, name="held")
    without = logged([e for e in log if e[2] != "h"], splits={"c": "gallery"}, name="without")
    one, other = (build(f, GraphConfig()) for f in (held, without))
    assert "h" not in one.image_ids
    assert read.edges(one) == read.edges(other)
    assert read.labels(one) == read.labels(other)
    assert one.info["counts"] | {"impressions_of_other_splits": 0} == other.info["counts"]
    assert one.info["counts"]["impressions_of_other_splits"] == 2
    assert (
        "2 rows of impressions with images outside the graph's splits left out"
        in one.info["warnings"]
    )
    wide = build(held, GraphConfig(splits=("train", "gallery", "test")))
    assert "h" in wide.image_ids
    assert ("a", "h") in read.edges(wide)


def test_whole_number_ids(make, tmp_path, read, build):
    images = [{"image_id": i, "split": "train", "image": b"x"} for i in (7, 2**40, 3)]
    log = [{"session": "s", "query": "q", "image_id": i, "clicked": True} for i in (7, 2**40)]
    graph = build(make.save_tables(tmp_path / "d", images, log), GraphConfig())
    assert graph.image_ids == [7, 2**40, 3]
    assert set(read.edges(graph)) == {(7, 2**40), (2**40, 7)}
