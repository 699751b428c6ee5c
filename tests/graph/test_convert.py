"""The graph as PyG sees it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric import transforms as T
from torch_geometric.utils import to_networkx

from graphrise.errors import DataError
from graphrise.graph.convert import to_data
from graphrise.graph.store import COCLICK, open_graph, save_graph

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
