"""Graphs from edge arrays, against edges merged one by one."""

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.graph.convert.from_edges import graph_from_edges, kind_bits, kind_names, named_labels
from graphrise.graph.ragged import from_entries
from graphrise.graph.store import COCLICK, GIVEN, KINDS, KNN, SIMILAR, open_graph, save_graph

NODES = 6


def edges_of(graph):
    """{(u, v): (weight, kind)} of both directions, in stored order."""
    row = np.repeat(np.arange(graph.num_nodes), np.diff(graph.rowptr)).tolist()
    values = zip(graph.weight.tolist(), graph.kind.tolist(), strict=True)
    return dict(zip(zip(row, graph.col.tolist(), strict=True), values, strict=True))


def merged(rows, symmetric):
    """What the docstring says, one edge at a time."""
    one_way, kinds = {}, {}
    for u, v, w, k in rows:
        if u != v:
            one_way[u, v] = max(one_way.get((u, v), 0.0), w)
            pair = (min(u, v), max(u, v))
            kinds[pair] = kinds.get(pair, 0) | (k or GIVEN)
    out = {}
    for (u, v), kind in kinds.items():
        ways = one_way.get((u, v), 0.0), one_way.get((v, u), 0.0)
        weight = {"max": max(ways), "mean": sum(ways) / 2, "sum": sum(ways)}[symmetric]
        out[u, v] = out[v, u] = (float(np.float32(weight)), kind)
    return dict(sorted(out.items()))


ROWS = st.lists(
    st.tuples(
        st.integers(0, NODES - 1),
        st.integers(0, NODES - 1),
        st.floats(2**-100, 2**100, width=32),
        st.sampled_from([0, COCLICK, KNN, COCLICK | SIMILAR]),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(
    rows=ROWS,
    symmetric=st.sampled_from(["max", "mean", "sum"]),
    dtype=st.sampled_from([np.int32, np.int64]),
    seed=st.integers(0, 9),
)
def test_equals_edges_merged_one_by_one(rows, symmetric, dtype, seed):
    def build(rows):
        source, target, weight, kind = zip(*rows, strict=True) if rows else ((), (), (), ())
        return graph_from_edges(
            np.array(source, dtype=dtype),
            np.array(target, dtype=dtype),
            weight,
            kind,
            num_nodes=NODES,
            symmetric=symmetric,
        )

    graph = build(rows)
    want = merged(rows, symmetric)
    assert edges_of(graph) == want
    assert list(edges_of(graph)) == list(want)  # CSR: sorted by row, rising within it
    assert graph.info["counts"] == {"self_loops": sum(u == v for u, v, *_ in rows)}
    assert (graph.rowptr.dtype, graph.col.dtype) == (np.int64, np.int32)
    assert (graph.weight.dtype, graph.kind.dtype) == (np.float32, np.uint8)
    shuffled = build([rows[i] for i in np.random.default_rng(seed).permutation(len(rows))])
    for name in ("rowptr", "col", "weight", "kind", "strength", "cumulative"):
        assert getattr(shuffled, name).tobytes() == getattr(graph, name).tobytes()


@settings(max_examples=50, deadline=None)
@given(rows=ROWS)
def test_a_list_of_both_directions_keeps_its_weights(rows):
    once = graph_from_edges(*columns(rows), num_nodes=NODES)
    row = np.repeat(np.arange(NODES), np.diff(once.rowptr))
    rules: Any = {"max": 1, "mean": 1, "sum": 2}
    for symmetric, factor in rules.items():
        again = graph_from_edges(
            row, once.col, once.weight, once.kind, num_nodes=NODES, symmetric=symmetric
        )
        np.testing.assert_array_equal(again.col, once.col)
        np.testing.assert_array_equal(again.weight, once.weight * factor)
        np.testing.assert_array_equal(again.kind, once.kind)


def columns(rows):
    array = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return array[0].astype(int), array[1].astype(int), array[2], array[3].astype(int)


def test_what_is_not_given(tmp_path):
    graph = graph_from_edges([0, 4], [1, 0])
    assert edges_of(graph) == dict.fromkeys([(0, 1), (0, 4), (1, 0), (4, 0)], (1.0, GIVEN))
    assert graph.num_nodes == 5
    assert graph.image_ids == [0, 1, 2, 3, 4]
    assert (graph.labels, graph.vocabulary, graph.kinds) == ({}, {}, KINDS)
    save_graph(graph, tmp_path / "g")
    assert open_graph(tmp_path / "g").image_ids == graph.image_ids
    assert json.loads((tmp_path / "g/graph.json").read_text())["counts"] == {"self_loops": 0}


def test_without_edges_and_without_nodes():
    assert graph_from_edges([], [], num_nodes=3).rowptr.tolist() == [0, 0, 0, 0]
    for nothing in (graph_from_edges([], []), graph_from_edges([], [], image_ids=[])):
        assert (nothing.num_nodes, nothing.num_edges, len(nothing.image_ids)) == (0, 0, 0)


def test_names_and_labels_come_along():
    labels = {"given": from_entries(np.array([1]), np.array([0]), np.ones(1), 2)}
    graph = graph_from_edges(
        [0],
        [1],
        kind=[16],
        image_ids=["x", "y"],
        labels=labels,
        vocabulary={"given": ["cat"]},
        kinds={**KINDS, "bought": 16},
    )
    assert graph.image_ids == ["x", "y"]
    assert graph.labels_of("given").top().tolist() == [-1, 0]
    assert graph.vocabulary == {"given": ["cat"]}
    assert graph.kinds["bought"] == 16
    assert graph.kind.tolist() == [16, 16]


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf, 1e-60, 1e60])
def test_a_weight_that_is_no_weight(bad):
    with pytest.raises(DataError, match=re.escape(f"edge 1 ('b' to 'c'): weight {bad} is")):
        graph_from_edges([0, 1, 0], [1, 2, 2], [1.0, bad, bad], image_ids=["a", "b", "c"])


def test_a_mean_or_sum_that_float32_cannot_hold():
    with pytest.raises(DataError, match=r"0 to 1\): weight 7\.\d+e-46 is not finite and above 0"):
        graph_from_edges([0], [1], [1e-45], symmetric="mean")
    with pytest.raises(DataError, match=r"weight 6\.\d+e\+38 is not finite"):
        graph_from_edges([0, 1], [1, 0], [3e38, 3.2e38], symmetric="sum")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0, 3], [1, 0]), {"num_nodes": 3}, r"edge 1 \(3 to 0\): nodes are numbered from 0 to 2"),
        (([0, 1], [1, -1]), {}, r"edge 1 \(1 to -1\)"),
        (([0.0], [1.0]), {}, "source must be one row of whole numbers; it is float64"),
        (([0], [[1]]), {}, r"target must be one row of whole numbers; it is int64 of shape \(1, 1"),
        (([0, 1], [1]), {}, "source has 2 edges, target 1"),
        (([0], [1], [1.0, 2.0]), {}, r"weight must be one number per edge \(1\)"),
        (([0], [1], ["1"]), {}, "weight must be one number"),
        (([0], [1], None, [1, 1]), {}, "kind must be one whole number per edge"),
        (([0, 0], [1, 2], None, [4, 20]), {}, r"edge 1 \(0 to 2\): kind 20 has bits without a n"),
        (([0], [1], None, [-1]), {}, "kind -1 has bits without"),
        (([0], [1], None, [257]), {}, "kind 257 has bits without"),
        (([0], [1]), {"image_ids": ["a", "b"], "num_nodes": 3}, "2 image ids for 3 nodes"),
        (([0], [1]), {"image_ids": ["a", "a"]}, "'a' stands for more than one node"),
        (([0], [1]), {"image_ids": ["a", 1]}, "must be all strings or all int64"),
        (([0], [1]), {"image_ids": [0.5, 1.0]}, "must be all strings or all int64, not double"),
        (([0], [1]), {"image_ids": ["a", None]}, "not string or null"),
    ],
)
def test_what_is_refused(arguments, options, message):
    with pytest.raises(DataError, match=message):
        graph_from_edges(*arguments, **options)


def test_labels_of_another_size_and_no_such_rule():
    labels = {"given": from_entries(np.array([1]), np.array([0]), np.ones(1), 3)}
    with pytest.raises(DataError, match="labels 'given' have 3 rows for 2 nodes"):
        graph_from_edges([0], [1], labels=labels)
    with pytest.raises(ConfigError, match="symmetric must be max, mean or sum; got 'min'"):
        graph_from_edges([0], [1], symmetric="min")  # pyright: ignore[reportArgumentType]


def test_bits_of_names():
    assert kind_bits([]) == KINDS
    assert kind_bits(["zz", "knn", "aa"]) == {**KINDS, "aa": 16, "zz": 32}
    assert kind_bits("pqrs")["s"] == 128
    with pytest.raises(DataError, match="5 kinds of edges of their own"):
        kind_bits("pqrst")
    kinds = {"also": 128, **KINDS}
    assert kind_names(128 | KNN | COCLICK, kinds) == ("coclick", "knn", "also")
    assert kind_names(0, kinds) == ()


def test_vocabulary_by_falling_frequency_then_name():
    node = np.array([3, 0, 1, 2, 3])
    for name, want in (([9, 10, 10, 2, 2], ["2", "10", "9"]), (list("cbbaa"), ["a", "b", "c"])):
        ragged, words = named_labels(node, np.array(name, dtype=object), np.ones(5), 5)
        assert words == want
        assert [words[k] for k in ragged.top()[:3]] == [str(name[1]), str(name[2]), str(name[3])]
        assert ragged.counts.tolist() == [1, 1, 1, 2, 0]
