"""From drawn edges to a batch: who is in it, where embeddings come from, and the sweep."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.sampler import NodeSamplerInput

from graphrise.loader.base import DrawnEdges, EdgeSampler
from graphrise.loader.sampler import PairSampler
from graphrise.loader.subgraph import SubgraphSampler


def ints(*values):
    return np.array(values, dtype=np.int64)


class Given(EdgeSampler):
    """Draws what a test says: (position of the image, neighbour, coefficient)."""

    def __init__(self, graph, neighbors, edges):
        super().__init__(graph, neighbors=neighbors, seed=0)
        self.graph, self.edges = graph, edges

    def draw(self, seeds, others):
        anchors = np.concatenate((seeds, others))
        edge = []
        for row, v, _ in self.edges:
            u = anchors[row]
            first, last = self.graph.rowptr[u : u + 2]
            edge.append(first + np.flatnonzero(self.graph.col[first:last] == v)[0])
        rows, coefficients = [e[0] for e in self.edges], [e[2] for e in self.edges]
        return DrawnEdges(others, ints(*rows), ints(*edge), np.array(coefficients, np.float32))


@pytest.fixture
def graph(make):
    """All pairs of seven nodes; the bits of an edge's kind are those of the sum of its ends."""
    graph = make.made_graph(7, [(u, v, 1.0) for u in range(7) for v in range(u)])
    kind = np.repeat(np.arange(7), 6) + graph.col
    return dataclasses.replace(graph, kind=kind.astype(np.uint8))


# Seeds 4 and 2, other 5. Edges: 4-2 inside, 4-6 twice, 2-0 out, 5-4 inside, 5-6 out.
EDGES = [(0, 2, 1.0), (0, 6, 2.0), (0, 6, 3.0), (1, 0, 4.0), (2, 4, 5.0), (2, 6, 6.0)]


def sampled(graph, neighbors, sweep=()):
    found: Any = Given(graph, neighbors, EDGES).sample(ints(4, 2), ints(5), ints(*sweep))
    extras = {k: v.tolist() if torch.is_tensor(v) else v for k, v in found.extras.items()}
    edges = list(zip(found.row.tolist(), found.node[found.col].tolist(), strict=True))
    np.testing.assert_array_equal(graph.col[found.edge], found.node[found.col])
    assert found.num_sampled_nodes == [2, found.node.numel() - 2]
    assert found.metadata[0].tolist() == [4, 2]
    return found.node.tolist(), edges, extras


@pytest.mark.parametrize(("neighbors", "forward"), [("encoder", 0), ("stop_gradient", 2)])
def test_encoded_neighbours(graph, neighbors, forward):
    node, edges, extras = sampled(graph, neighbors)
    assert node == [4, 2, 5, 0, 6]
    assert edges == [(0, 2), (0, 6), (0, 6), (1, 0), (2, 4), (2, 6)]
    assert extras == {
        "num_others": 1,
        "num_forward": forward,
        "num_seed_edges": 4,
        "edge_coefficient": [1, 2, 3, 4, 5, 6],
        "edge_kind": [6, 10, 10, 2, 9, 11],
    }


def test_neighbours_from_the_bank_unless_they_are_here(graph):
    node, edges, extras = sampled(graph, "bank")
    assert node == [4, 2, 5]
    assert edges == [(0, 2), (2, 4)]
    assert extras == {
        "num_others": 1,
        "num_forward": 0,
        "num_seed_edges": 1,
        "edge_coefficient": [1, 5],
        "edge_kind": [6, 9],
        "bank_row": [0, 0, 1, 2],
        "bank_node": [6, 6, 0, 6],
        "bank_coefficient": [2, 3, 4, 6],
        "bank_kind": [10, 10, 2, 11],
        "num_seed_bank": 3,
    }


def test_a_swept_image_is_here_too(graph):
    node, edges, extras = sampled(graph, "bank", sweep=(6, 3, 2, 5))
    # 2 and 5 are in the batch anyway, with gradient.
    assert node == [4, 2, 5, 3, 6]
    assert extras["num_forward"] == 2
    assert edges == [(0, 2), (0, 6), (0, 6), (2, 4), (2, 6)]
    assert extras["num_seed_edges"] == 3
    assert (extras["bank_row"], extras["bank_node"], extras["num_seed_bank"]) == ([1], [0], 1)


def test_a_sweep_beside_encoded_neighbours(graph):
    assert sampled(graph, "encoder", sweep=(6, 3))[0] == [4, 2, 5, 0, 6, 3]
    assert sampled(graph, "encoder", sweep=(6, 3))[2]["num_forward"] == 1
    assert sampled(graph, "stop_gradient", sweep=(6, 3))[0] == [4, 2, 5, 0, 3, 6]
    assert sampled(graph, "stop_gradient", sweep=(6, 3))[2]["num_forward"] == 3


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(["pairs", "subgraph"]),
    neighbors=st.sampled_from(["encoder", "stop_gradient", "bank"]),
    seed=st.integers(0, 40),
    data=st.data(),
)
def test_whatever_the_sampler_a_batch_is_consistent(make, graphs, kind, neighbors, seed, data):
    graph = graphs.graph_of_kinds(make, 30, 70, seed)
    labelled, unlabelled = graphs.labelled_of(graph)
    some = [
        ints(*data.draw(st.lists(st.sampled_from(nodes.tolist()), unique=True, max_size=9)))
        for nodes in (labelled, unlabelled, unlabelled)
    ]
    labels = graph.labels["given"]
    sampler = (
        PairSampler(graph, 2, labels=labels, neighbors=neighbors, seed=seed)
        if kind == "pairs"
        else SubgraphSampler(graph, (2,), labels=labels, neighbors=neighbors, seed=seed)
    )
    seeds, others, sweep = some
    found: Any = sampler.sample(*some)
    drawn = sampler.draw(seeds, others)
    node, extras = found.node.numpy(), found.extras
    anchors, forward = seeds.size + others.size, extras["num_forward"]
    assert np.unique(node).size == node.size
    np.testing.assert_array_equal(node[:anchors], np.concatenate((seeds, others)))
    assert set(sweep) <= set(node)
    neighbours = set(graph.col[drawn.edge].tolist()) - set(node[:anchors].tolist())
    last = set(node[node.size - forward :].tolist())
    if neighbors == "encoder":
        assert set(node[anchors : node.size - forward].tolist()) == neighbours
        assert last == set(sweep) - neighbours - set(others)
    else:
        assert anchors + forward == node.size
        from_edges = neighbours if neighbors == "stop_gradient" else set()
        assert last == (set(sweep) | from_edges) - set(others)
    # Every drawn edge once: here, or over the bank.
    edges = {(r, int(graph.col[e])) for r, e in zip(drawn.row, drawn.edge, strict=True)}
    here = {
        (r, n) for r, n in zip(found.row.tolist(), node[found.col.numpy()].tolist(), strict=True)
    }
    if neighbors == "bank":
        banked = set(zip(extras["bank_row"].tolist(), extras["bank_node"].tolist(), strict=True))
        assert not {n for _, n in banked} & set(node.tolist())
        assert found.edge.numel() + extras["bank_row"].numel() == drawn.edge.size
        here |= banked
    else:
        assert found.edge.tolist() == drawn.edge.tolist()
    assert here == edges
    cut = extras["num_seed_edges"]
    assert (found.row[:cut] < seeds.size).all()
    assert (found.row[cut:] >= seeds.size).all()


def test_nobody_at_all(graph):
    for neighbors in ("encoder", "stop_gradient", "bank"):
        sampler = PairSampler(graph, 2, neighbors=neighbors)
        found: Any = sampler.sample(ints())
        assert found.node.numel() == found.edge.numel() == 0
        assert sampler.sample(ints(), ints(), ints(3)).node.tolist() == [3]


def test_pygs_own_entry(graph):
    sampler = PairSampler(graph, 2, seed=1)
    index = NodeSamplerInput(torch.tensor([7, 8]), torch.tensor([3, 1]), None)
    found: Any = sampler.sample_from_nodes(index)
    assert found.metadata[0].tolist() == [7, 8]
    assert found.node[:2].tolist() == [3, 1]
    same: Any = sampler.sample(ints(3, 1))
    assert torch.equal(found.node, same.node)
    assert torch.equal(found.edge, same.edge)
