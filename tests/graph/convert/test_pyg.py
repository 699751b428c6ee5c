"""The graph as PyG sees it, and back."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric import transforms as T
from torch_geometric.data import Data, HeteroData
from torch_geometric.datasets import FakeDataset, KarateClub
from torch_geometric.utils import to_networkx

from graphrise.errors import DataError
from graphrise.graph.convert.from_edges import graph_from_edges
from graphrise.graph.convert.pyg import class_labels, from_data, to_data
from graphrise.graph.ragged import from_entries
from graphrise.graph.store import COCLICK, GIVEN, KINDS, KNN, open_graph, save_graph

EDGES = [(0, 1, 0.5), (0, 2, 0.25), (2, 3, 1.0)]


@pytest.fixture
def graph(make):
    return make.made_graph(5, EDGES, {1: {0: 0.25, 2: 0.75}, 4: {1: 1.0}})


def test_is_what_it_says(graph):
    data: Any = to_data(graph)
    assert data.validate(raise_on_error=True)
    assert data.num_nodes == 5
    assert data.edge_index.tolist() == [[0, 0, 1, 2, 2, 3], [1, 2, 0, 0, 3, 2]]
    assert data.edge_weight.tolist() == [0.5, 0.25, 0.5, 0.25, 1.0, 1.0]
    assert data.edge_kind.tolist() == [COCLICK] * 6
    assert (data.edge_weight.dtype, data.edge_kind.dtype) == (torch.float32, torch.uint8)
    assert data.y.tolist() == [-1, 2, -1, -1, 1]
    assert data.labelled_mask.tolist() == [False, True, False, False, True]
    assert data.is_undirected()
    assert not data.has_self_loops()
    assert data.has_isolated_nodes()


def test_networkx_keeps_the_weights(graph):
    pytest.importorskip("networkx")
    found = to_networkx(to_data(graph), edge_attrs=["edge_weight"], to_undirected=True)
    edges = {(u, v): w for u, v, w in found.edges(data="edge_weight")}
    assert edges == {(u, v): w for u, v, w in EDGES}
    assert found.number_of_nodes() == 5


def test_to_undirected_changes_nothing(graph):
    data = to_data(graph)
    # PyG merges (u, v) with the turned (v, u) by a sum unless told; the largest is both.
    again = T.ToUndirected(reduce="max")(data.clone())
    for name in ("edge_index", "edge_weight", "edge_kind", "y"):
        assert torch.equal(again[name], data[name])
    bare = T.ToUndirected()(data.clone())
    assert torch.equal(bare["edge_index"], data["edge_index"])


def test_without_edges(make):
    data = to_data(make.made_graph(3, []))
    assert data.validate(raise_on_error=True)
    assert data.num_edges == 0
    assert data.edge_index is not None
    assert data.edge_index.shape == (2, 0)


def test_a_stored_graph_converts_and_is_not_written_to(graph, tmp_path):
    save_graph(graph, tmp_path / "g")
    data: Any = to_data(open_graph(tmp_path / "g"))
    data.edge_weight.zero_()
    np.testing.assert_array_equal(open_graph(tmp_path / "g").weight, graph.weight)
    assert torch.equal(data.edge_index, to_data(graph)["edge_index"])


def test_a_source_that_is_not_there(graph):
    with pytest.raises(DataError, match="no labels of source 'queries', only given"):
        to_data(graph, "queries")


def directed(**attributes):
    """0 -> 1 and 1 -> 2 and 2 -> 1."""
    return Data(edge_index=torch.tensor([[0, 1, 2], [1, 2, 1]]), num_nodes=4, **attributes)


def weights(graph):
    row = np.repeat(np.arange(graph.num_nodes), np.diff(graph.rowptr))
    both = zip(row.tolist(), graph.col.tolist(), graph.weight.tolist(), strict=True)
    return {(u, v): w for u, v, w in both if u < v}


@settings(max_examples=60, deadline=None)
@given(
    edges=st.dictionaries(
        st.tuples(st.integers(0, 5), st.integers(0, 5)),
        st.tuples(st.floats(2**-100, 2**100, width=32), st.sampled_from([1, 4, 16, 20])),
        max_size=12,
    ),
    labels=st.dictionaries(
        st.tuples(st.integers(0, 5), st.integers(0, 3)), st.integers(1, 9), max_size=8
    ),
)
def test_there_and_back(edges, labels):
    kinds = {**KINDS, "bought": 16}
    node, label = np.array(list(labels), dtype=np.int64).reshape(-1, 2).T
    graph = graph_from_edges(
        [u for u, _ in edges],
        [v for _, v in edges],
        [w for w, _ in edges.values()],
        [k for _, k in edges.values()],
        num_nodes=6,
        labels={"given": from_entries(node, label, np.array(list(labels.values())), 6)},
        vocabulary={"given": list("abcd")},
        kinds=kinds,
    )
    for symmetric in ("max", "mean"):
        back = from_data(to_data(graph), symmetric=symmetric, kinds=kinds)
        for name in ("rowptr", "col", "weight", "kind"):
            array, before = getattr(back, name), getattr(graph, name)
            assert array.dtype == before.dtype
            np.testing.assert_array_equal(array, before)
        assert back.kinds == kinds
        words: Any = back.vocabulary["given"]
        top = back.labels_of("given").top()
        named = [int(words[k]) if k >= 0 else -1 for k in top]
        assert named == graph.labels_of("given").top().tolist()
        assert back.labels_of("given").counts.max(initial=0) <= 1
        counts = [named.count(int(word)) for word in words]
        assert counts == sorted(counts, reverse=True)


def test_a_pyg_dataset_is_read_as_it_comes():
    data: Any = KarateClub()[0]
    graph = from_data(data)
    assert (graph.num_nodes, graph.num_edges) == (34, 156)
    assert graph.image_ids == range(34)
    back: Any = to_data(graph)
    assert {tuple(e) for e in back.edge_index.T.tolist()} == {
        tuple(e) for e in data.edge_index.T.tolist()
    }
    assert set(graph.weight) == {1.0}
    assert set(graph.kind) == {GIVEN}
    words: Any = graph.vocabulary["given"]
    assert [int(words[k]) for k in graph.labels_of("given").top()] == data.y.tolist()
    assert sorted(words) == ["0", "1", "2", "3"]


def test_a_weighted_pyg_dataset():
    torch.manual_seed(0)
    data: Any = FakeDataset(avg_num_nodes=30, avg_degree=4, edge_dim=1, is_undirected=False)[0]
    found = weights(from_data(data))
    rows = list(zip(*data.edge_index.tolist(), data.edge_weight.tolist(), strict=True))
    assert set(found) == {(min(u, v), max(u, v)) for u, v, _ in rows}
    for (u, v), w in found.items():
        assert w == max(x for a, b, x in rows if {a, b} == {u, v})


def test_directions_become_one():
    data = directed(edge_weight=torch.tensor([0.5, 0.25, 1.0]))
    assert weights(from_data(data)) == {(0, 1): 0.5, (1, 2): 1.0}
    assert weights(from_data(data, symmetric="mean")) == {(0, 1): 0.25, (1, 2): 0.625}
    assert from_data(data).num_nodes == 4
    assert from_data(data).labels == {}


def test_where_weights_come_from():
    attribute = torch.tensor([[0.5], [0.25], [2.0]])
    want = {(0, 1): 0.5, (1, 2): 2.0}
    assert weights(from_data(directed(edge_attr=attribute))) == want
    assert weights(from_data(directed(edge_attr=attribute[:, 0].bfloat16()))) == want
    # An edge_weight goes before it, and several columns are features.
    both = directed(edge_attr=attribute, edge_weight=torch.full((3, 1), 3.0, requires_grad=True))
    assert weights(from_data(both)) == {(0, 1): 3.0, (1, 2): 3.0}
    features = directed(edge_attr=torch.zeros(3, 2))
    assert weights(from_data(features)) == {(0, 1): 1.0, (1, 2): 1.0}


def test_ids_and_kinds_come_from_the_data():
    data = directed(image_id=list("wxyz"), edge_kind=torch.tensor([KNN, COCLICK, GIVEN]))
    graph = from_data(data)
    assert graph.image_ids == list("wxyz")
    assert graph.kind.tolist() == [KNN, KNN, COCLICK | GIVEN, COCLICK | GIVEN]
    assert from_data(directed(image_id=torch.tensor([7, 5, 2**40, 0]))).image_ids == [
        7,
        5,
        2**40,
        0,
    ]


@pytest.mark.parametrize(
    "y",
    [
        torch.tensor([2, -1, 5, 5]),
        torch.tensor([[2], [-1], [5], [5]]),
        torch.tensor([2.0, torch.nan, 5.0, 5.0]),
        torch.tensor([[2.0], [torch.nan], [5.0], [5.0]]),
    ],
)
def test_shapes_of_y(y):
    graph = from_data(directed(y=y))
    assert graph.labels_of("given").top().tolist() == [1, -1, 0, 0]
    assert graph.labels_of("given").weight.tolist() == [1.0] * 3
    assert graph.vocabulary == {"given": ["5", "2"]}


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[0, 1], [1, 1], [0, 0], [1, 0]], "y has 2 columns, which is several labels per node"),
        ([1], "y has 1 values for 4 nodes"),
        ([0, 1, -2, 0], "y of node 2 is -2"),
        ([0.0, 0.5, 1.0, 1.0], "y of node 1 is 0.5"),
        ([0.0, 1.0, 1.0, np.inf], "y of node 3 is inf"),
    ],
)
def test_y_that_is_no_class_per_node(y, message):
    with pytest.raises(DataError, match=message):
        class_labels(np.array(y), 4)
    with pytest.raises(DataError, match=message):
        from_data(directed(y=torch.tensor(y)))


def test_what_is_no_data():
    for other in (KarateClub(), HeteroData()):
        with pytest.raises(DataError, match=f"is needed, not {type(other).__name__}: take datas"):
            from_data(other)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DataError, match="no edge_index"):
        from_data(Data(x=torch.zeros(2, 1)))
    with pytest.raises(DataError, match=r"edge 1 \(1 to 2\): weight 0.0 is not finite"):
        from_data(directed(edge_attr=torch.tensor([1.0, 0.0, 1.0])))
    with pytest.raises(DataError, match="3 image ids for 4 nodes"):
        from_data(directed(image_id=list("xyz")))
