"""NetworkX both ways."""

import subprocess
import sys
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import DataError
from graphrise.graph.convert.from_edges import graph_from_edges, kind_bits
from graphrise.graph.convert.networkx import from_networkx, to_networkx
from graphrise.graph.ragged import from_entries
from graphrise.graph.store import COCLICK, GIVEN, KINDS, KNN, open_graph, save_graph

BOTH = {"given": "label", "queries": "queries"}


def shares(graph, source):
    """Per node, {label: share}."""
    row, index, share = graph.labels_of(source).rows(np.arange(graph.num_nodes))
    out: list[dict] = [{} for _ in range(graph.num_nodes)]
    for node, label, part in zip(row, index, share, strict=True):
        out[node][graph.vocabulary[source][label]] = pytest.approx(float(part), rel=1e-6)
    return out


def kinds_by_name(graph):
    return [{n for n, bit in graph.kinds.items() if k & bit} for k in graph.kind.tolist()]


KIND_SETS = st.sets(st.sampled_from(["coclick", "knn", "given", "bought", "also viewed"]))


@st.composite
def graphs(draw):
    ids = draw(
        st.one_of(
            st.lists(st.text(max_size=3), unique=True, max_size=6),
            st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=6),
        )
    )
    size = len(ids)
    node = st.integers(0, max(size - 1, 0))
    edges = draw(st.dictionaries(st.tuples(node, node), KIND_SETS, max_size=9 if size else 0))
    weight = [draw(st.floats(2**-100, 2**100, width=32)) for _ in edges]
    bits = kind_bits({"bought", "also viewed"})
    labels, vocabulary = {}, {}
    for source in ("given", "queries"):
        entries = draw(
            st.dictionaries(
                st.tuples(node, st.integers(0, 2)), st.integers(1, 5), max_size=6 if size else 0
            )
        )
        row, label = np.array(list(entries), dtype=np.int64).reshape(-1, 2).T
        share = np.array(list(entries.values()), dtype=np.float64)
        labels[source] = from_entries(row, label, share, size)
        vocabulary[source] = ["a", "b", "c"]
    return graph_from_edges(
        [u for u, _ in edges],
        [v for _, v in edges],
        weight,
        [sum(bits[name] for name in names) for names in edges.values()],
        image_ids=ids,
        labels=labels,
        vocabulary=vocabulary,
        kinds=bits,
    )


@settings(max_examples=80, deadline=None)
@given(graph=graphs())
def test_there_and_back(graph):
    made = to_networkx(graph)
    assert made.number_of_edges() == graph.num_edges // 2
    back = from_networkx(made, label=BOTH)
    assert list(back.image_ids) == list(graph.image_ids)
    for name in ("rowptr", "col", "weight"):
        array = getattr(back, name)
        np.testing.assert_array_equal(array, getattr(graph, name))
        assert array.dtype == getattr(graph, name).dtype
    assert kinds_by_name(back) == kinds_by_name(graph)
    for source in ("given", "queries"):
        if graph.labels[source].index.size:
            assert shares(back, source) == shares(graph, source)
        else:
            assert source not in back.labels
    again = to_networkx(back)
    assert nx.utils.graphs_equal(nx.Graph(again.edges), nx.Graph(made.edges))
    assert list(again.nodes) == list(made.nodes)
    # As sets: bits of names of its own are given anew, in order of the names.
    assert {(u, v): (w, set(made[u][v]["kind"])) for u, v, w in made.edges(data="weight")} == {
        (u, v): (w, set(again[u][v]["kind"])) for u, v, w in again.edges(data="weight")
    }


def test_what_a_user_finds(make, tmp_path):
    graph = make.made_graph(5, [(0, 1, 0.5), (3, 2, 0.1)], {1: {0: 0.25, 2: 0.75}, 4: {1: 1.0}})
    save_graph(graph, tmp_path / "g")
    for of in (graph, open_graph(tmp_path / "g")):
        made = to_networkx(of)
        assert type(made) is nx.Graph
        assert list(made) == [f"image-{i}" for i in range(5)]
        assert made["image-0"]["image-1"] == {"weight": 0.5, "kind": ("coclick",)}
        assert made["image-2"]["image-3"]["weight"] == float(np.float32(0.1))
        assert made.nodes["image-1"] == {"label": {"a": 0.25, "c": 0.75}}
        assert made.nodes["image-0"] == {}
        assert nx.number_connected_components(made) == 3


def test_edges_of_several_blocks(make, monkeypatch):
    edges = [(u, v, float(u + v)) for u in range(8) for v in range(u + 1, 8)]
    want = to_networkx(make.made_graph(8, edges))
    monkeypatch.setattr("graphrise.graph.draws.row_blocks.__defaults__", (3,))
    found = to_networkx(make.made_graph(8, edges))
    assert found.number_of_edges() == 28
    assert nx.utils.graphs_equal(found, want)


def test_a_plain_graph():
    made: nx.Graph = nx.Graph([("x", "y", {"weight": 0.5}), ("y", "z"), ("z", "z")])
    made.add_node("alone", label=3)
    made.nodes["x"]["label"] = made.nodes["y"]["label"] = "cat"
    made.nodes["z"]["label"] = float("nan")
    graph = from_networkx(made)
    assert list(graph.image_ids) == ["x", "y", "z", "alone"]
    assert graph.col.tolist() == [1, 0, 2, 1]
    assert graph.weight.tolist() == [0.5, 0.5, 1.0, 1.0]
    assert graph.kind.tolist() == [GIVEN] * 4
    assert graph.vocabulary == {"given": ["cat", "3"]}
    assert graph.labels_of("given").top().tolist() == [0, 0, -1, 1]
    assert graph.info["counts"]["self_loops"] == 1
    assert from_networkx(made, label="species").labels == {}
    assert from_networkx(made, weight="strength").weight.tolist() == [1.0] * 4


def test_directed_and_parallel_edges():
    made = nx.DiGraph()
    made.add_weighted_edges_from([("a", "b", 0.5), ("b", "a", 1.0), ("b", "c", 3.0)])
    assert from_networkx(made).weight.tolist() == [1.0, 1.0, 3.0, 3.0]
    assert from_networkx(made, symmetric="mean").weight.tolist() == [0.75, 0.75, 1.5, 1.5]
    assert from_networkx(made, symmetric="sum").weight.tolist() == [1.5, 1.5, 3.0, 3.0]
    parallel = nx.MultiGraph()
    parallel.add_edge("a", "b", weight=2.0, kind="knn")
    parallel.add_edge("b", "a", weight=1.0, kind=["coclick"])
    for symmetric in ("max", "mean", "sum"):
        graph = from_networkx(parallel, symmetric=symmetric)
        assert graph.weight.tolist() == [2.0, 2.0]
        assert graph.kind.tolist() == [KNN | COCLICK] * 2
    ways = nx.MultiDiGraph([("a", "b", {"weight": 2.0}), ("a", "b", {"weight": 5.0})])
    assert from_networkx(ways, symmetric="mean").weight.tolist() == [2.5, 2.5]


def test_kinds_of_its_own():
    made = nx.path_graph(4)
    for (_, _, of), kind in zip(made.edges(data=True), ("b", ("a", "knn"), "a"), strict=True):
        of["kind"] = kind
    graph = from_networkx(made)
    assert graph.kinds == {**KINDS, "a": 16, "b": 32}
    assert graph.kind.tolist() == [32, 32, 16 | KNN, 16 | KNN, 16, 16]
    for i, of in enumerate(made.edges.values()):
        of["kind"] = (f"kind-{i}", f"other-{i}")
    with pytest.raises(DataError, match="6 kinds of edges of their own"):
        from_networkx(made)


def test_keys_that_are_neither_strings_nor_whole_numbers():
    assert list(from_networkx(nx.grid_2d_graph(1, 2)).image_ids) == ["(0, 0)", "(0, 1)"]
    assert list(from_networkx(nx.Graph([("a", 1)])).image_ids) == ["a", "1"]
    assert list(from_networkx(nx.Graph([(np.int64(5), 7)])).image_ids) == [5, 7]
    assert list(from_networkx(nx.Graph([(True, False)])).image_ids) == ["True", "False"]
    with pytest.raises(DataError, match="nodes 1 and '1' are both '1' as text"):
        from_networkx(nx.Graph([("a", 1), ("a", "1")]))


@pytest.mark.parametrize(
    ("node", "edge", "message"),
    [
        ({}, {"weight": "heavy"}, "edge 'x' to 'y': .*'heavy'.* has a weight that is no number"),
        ({}, {"weight": None}, "has a weight that is no number"),
        ({}, {"weight": 0}, r"edge 0 \('x' to 'y'\): weight 0.0 is not finite"),
        ({}, {"kind": 4}, "edge 'x' to 'y': .*4.* or a kind that is neither a name nor a list"),
        ({}, {"kind": ["knn", ""]}, "a kind that is neither"),
        ({"label": ["a", "b"]}, {}, r"node 'x', attribute 'label': \['a', 'b'\] is neither one"),
        ({"label": {"a": "most"}}, {}, "node 'x', attribute 'label': share 'most' of 'a' is"),
        ({"label": {"a": 1.0, "b": 0}}, {}, "share 0 of 'b' is not a finite number above 0"),
        ({"label": {"a": float("inf")}}, {}, "share inf of 'a' is not"),
        ({"label": {1: 0.5, "1": 0.5}}, {}, "two labels of .* are equal as text"),
    ],
)
def test_what_is_refused(node, edge, message):
    made = nx.Graph([("x", "y", edge)])
    made.nodes["x"].update(node)
    with pytest.raises(DataError, match=message):
        from_networkx(made)


def test_no_nodes():
    assert from_networkx(nx.Graph()).num_nodes == 0


def test_importing_does_not_import_networkx():
    code = (
        "import sys, graphrise.graph.convert.networkx, graphrise.graph.convert.edge_list, "
        "graphrise.graph.convert.ogb; print([m for m in ('networkx', 'ogb') if m in sys.modules])"
    )
    found: Any = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
