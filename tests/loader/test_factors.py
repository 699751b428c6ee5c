"""What edges count beside their weight: by kind, by label, and without bias."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError
from graphrise.graph.store import COCLICK, KNN, SIMILAR
from graphrise.loader.factors import EdgeFactors
from graphrise.loader.sampler import PairSampler
from graphrise.loader.subgraph import SubgraphSampler
from graphrise.nn.regularizer import EdgeRegularizer

# Node 0 has a kNN edge to the labelled 1, a co-click edge to the unlabelled 2, and one of both
# kinds to the unlabelled 3; 2 and 3 are joined by kNN.
EDGES = {(0, 1): (0.2, KNN), (0, 2): (0.5, COCLICK), (0, 3): (0.3, COCLICK | KNN)}
EDGES |= {(2, 3): (0.7, KNN), (1, 2): (0.4, SIMILAR)}
LABELLED = (0, 1)
BY_KIND = {"knn": 0.25, "coclick": 2.0}
POSITION = [0.0, 1.0, 3.0, 7.0]


@pytest.fixture
def graph(make):
    pairs = [(u, v, w) for (u, v), (w, _) in EDGES.items()]
    graph = make.made_graph(4, pairs, {n: {0: 1.0} for n in LABELLED})
    row = np.repeat(np.arange(4), np.diff(graph.rowptr))
    kind = [
        EDGES[min(u, v), max(u, v)][1]
        for u, v in zip(row.tolist(), graph.col.tolist(), strict=True)
    ]
    return dataclasses.replace(graph, kind=np.array(kind, dtype=np.uint8))


def factors_of(graph, labelled=3.0, others=0.5, by_kind=BY_KIND):
    labels = graph.labels["given"]
    return EdgeFactors(graph, by_kind, labelled=labelled, others=others, labels=labels)


def factor(u, v, labelled=3.0, others=0.5):
    """By hand: of both kinds the larger, similar is not named; unlabelled images have no other."""
    _, kind = EDGES[min(u, v), max(u, v)]
    of_kind = {KNN: 0.25, COCLICK: 2.0, COCLICK | KNN: 2.0, SIMILAR: 1.0}[kind]
    if u not in LABELLED:
        return of_kind
    return of_kind * (labelled if v in LABELLED else others)


def neighbours(u):
    return {sum(pair) - u: w for pair, (w, _) in EDGES.items() if u in pair}


def omega(u, to, *, normalize):
    """The full sum `sum_v f_uv v_uv |z_u - z_v|^2` over the neighbours in `to`."""
    near = {v: w for v, w in neighbours(u).items() if v in to}
    whole = sum(near.values()) if normalize else 1.0
    return sum(factor(u, v) * w / whole * (POSITION[u] - POSITION[v]) ** 2 for v, w in near.items())


def test_by_hand(graph):
    kind = np.array([KNN, COCLICK, COCLICK | KNN, SIMILAR, KNN], dtype=np.uint8)
    found = factors_of(graph).of(kind, np.array([1, 2, 3, 2, 3]), np.array([0, 0, 0, 1, 2]), 2)
    # The last is drawn for an unlabelled image.
    np.testing.assert_allclose(found, [0.75, 1.0, 1.0, 0.5, 0.25])
    assert found.dtype == np.float32


def test_the_largest_of_several_kinds(graph):
    both = np.array([COCLICK | KNN, COCLICK, KNN], dtype=np.uint8)
    for by_kind, want in (
        ({"knn": 0.0}, [1, 1, 0]),
        ({"knn": 3.0}, [3, 1, 3]),
        ({"knn": 0.0, "coclick": 0.5}, [0.5, 0.5, 0]),
        ({}, [1, 1, 1]),
    ):
        found = EdgeFactors(graph, by_kind).of(both, np.zeros(3, int), np.zeros(3, int), 1)
        assert found.tolist() == want


def estimate(sampler, seeds, others=()):
    """Omega by image of one batch, read as training reads it."""
    found: Any = sampler.sample(np.array(seeds), np.array(others, dtype=np.int64))
    z = torch.tensor(POSITION)[found.node].unsqueeze(1)
    index, value = torch.stack((found.row, found.col)), found.extras["edge_coefficient"]
    assert value.dtype == torch.float32
    result = {}
    for place, node in enumerate(found.node.tolist()):
        mine = index[0] == place
        result[node] = EdgeRegularizer()(z, index[:, mine], value[mine], 1).item()
    return result


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("draw", ["weighted", "uniform"])
def test_the_mean_over_epochs_is_the_full_sum(graph, draw, normalize):
    epochs, total, squares = 1500, np.zeros(4), np.zeros(4)
    sampler = PairSampler(
        graph, 2, draw, normalize=normalize, labels=graph.labels["given"],
        factors=factors_of(graph), seed=3,
    )  # fmt: skip
    for epoch in range(epochs):
        sampler.epoch = epoch
        found = estimate(sampler, [1, 0], [3, 2])
        values = np.array([found[node] for node in range(4)])
        total, squares = total + values, squares + values**2
    mean = total / epochs
    for node in range(4):
        # Of unlabelled images edges to unlabelled ones alone.
        to = range(4) if node in LABELLED else (2, 3)
        spread = math.sqrt(max(squares[node] / epochs - mean[node] ** 2, 0) / epochs)
        assert mean[node] == pytest.approx(
            omega(node, to, normalize=normalize), abs=5 * spread + 1e-5
        )


@pytest.mark.parametrize("normalize", [True, False])
def test_a_subgraph_of_all_neighbours_is_the_full_sum(graph, normalize):
    sampler = SubgraphSampler(
        graph, (60,), labels=graph.labels["given"], unlabelled_edges=True, normalize=normalize,
        factors=factors_of(graph),
    )  # fmt: skip
    found = estimate(sampler, [0, 1])
    assert set(found) == {0, 1, 2, 3}
    for node, value in found.items():
        to = range(4) if node in LABELLED else (2, 3)
        assert value == pytest.approx(omega(node, to, normalize=normalize), rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["pairs", "subgraph"]),
    neighbors=st.sampled_from(["encoder", "stop_gradient", "bank"]),
    seed=st.integers(0, 30),
)
def test_nothing_else_of_a_batch_changes(make, graphs, kind, neighbors, seed):
    graph = graphs.graph_of_kinds(make, 25, 70, seed)
    labelled, rest = graphs.labelled_of(graph)
    labels, seeds, made = graph.labels["given"], labelled[:8], []
    by_kind = {"coclick": 0.5, "knn": 3.0}
    for factors in (None, EdgeFactors(graph, by_kind, labelled=0.0, others=2.0, labels=labels)):
        options: Any = {"labels": labels, "neighbors": neighbors, "factors": factors, "seed": seed}
        sampler = (
            PairSampler(graph, 3, "uniform", **options)
            if kind == "pairs"
            else SubgraphSampler(graph, (2,), unlabelled_edges=True, **options)
        )
        made.append(sampler.sample(seeds, rest[:5], rest[5:7]))
    before, after = made
    for name in ("node", "row", "col", "edge"):
        assert torch.equal(getattr(before, name), getattr(after, name))
    assert before.extras.keys() == after.extras.keys()
    anchors = before.node.numpy()
    for part in ("edge", "bank"):
        if f"{part}_coefficient" not in before.extras:
            continue
        row = before.row if part == "edge" else before.extras["bank_row"]
        to = before.node[before.col] if part == "edge" else before.extras["bank_node"]
        bits = before.extras[f"{part}_kind"]
        ratio = after.extras[f"{part}_coefficient"] / before.extras[f"{part}_coefficient"]
        for u, v, kinds, value in zip(row.tolist(), to.tolist(), bits.tolist(), ratio, strict=True):
            first, last = graph.rowptr[anchors[u] : anchors[u] + 2]
            place = first + np.flatnonzero(graph.col[first:last] == v)[0]
            assert kinds == graph.kind[place]
            best = max(f for bit, f in ((1, 0.5), (2, 1.0), (4, 3.0)) if kinds & bit)
            of_pair = 1.0 if u >= seeds.size else 0.0 if v in labelled else 2.0
            assert value == pytest.approx(best * of_pair, rel=1e-5)
    for name in before.extras.keys() - {"edge_coefficient", "bank_coefficient"}:
        assert torch.equal(
            torch.as_tensor(before.extras[name]), torch.as_tensor(after.extras[name])
        )


def test_wrong_factors_say_so(graph):
    match = r"edges\.alpha_by_kind: likes is no kind of edge; the graph knows coclick"
    with pytest.raises(ConfigError, match=match):
        EdgeFactors(graph, {"likes": 0.5})
    with pytest.raises(ConfigError, match="labels"):
        EdgeFactors(graph, labelled=2.0)
