"""Draws of pairs over some kinds of edges, and among unlabelled images: unbiased again."""

import math
import pickle

import numpy as np
import pytest

from graphrise.errors import ConfigError
from graphrise.graph import pages
from graphrise.graph.store import open_graph, save_graph
from graphrise.loader.sampler import PairSampler

SETTINGS = [(d, n) for d in ("weighted", "uniform") for n in (True, False)]


def distance(u, v):
    """Some number of each pair, the same both ways."""
    return 1.0 + (3 * min(u, v) + 7 * max(u, v)) % 11


def omega(edges, node, normalize):
    """The full sum over some edges (edge, neighbour, weight) of a node."""
    total = sum(w for _, _, w in edges) if normalize else 1.0
    return sum(w * distance(node, v) for _, v, w in edges) / total if edges else 0.0


def spread(edges, node, draw, normalize):
    """Standard deviation of one draw's term."""
    whole = sum(w for _, _, w in edges)
    scale = whole if normalize else 1.0
    full, variance = omega(edges, node, normalize), 0.0
    for _, v, w in edges:
        p = w / whole if draw == "weighted" else 1 / len(edges)
        variance += p * (w / scale * distance(node, v) / p - full) ** 2
    return math.sqrt(variance)


@pytest.mark.parametrize(("draw", "normalize"), SETTINGS)
@pytest.mark.parametrize("kinds", [None, ("coclick",), ("similar", "knn")])
@pytest.mark.parametrize("k", [1, 3])
def test_mean_over_epochs_is_the_full_sum(make, graphs, draw, normalize, kinds, k):
    graph = graphs.graph_of_kinds(make, 16, 40, seed=3)
    labelled, unlabelled = graphs.labelled_of(graph)
    mask = {None: 255, ("coclick",): 1, ("similar", "knn"): 6}[kinds]
    sampler = PairSampler(
        graph, k, draw, normalize=normalize, kinds=kinds, labels=graph.labels["given"], seed=6
    )
    epochs, sums = 2500, np.zeros(16)
    source = np.repeat(np.arange(16), np.diff(graph.rowptr))
    far = np.array([distance(u, int(v)) for u, v in zip(source, graph.col, strict=True)])
    anchors = np.concatenate((labelled, unlabelled))
    for epoch in range(epochs):
        sampler.epoch = epoch
        drawn = sampler.draw(labelled, unlabelled)
        np.testing.assert_array_equal(drawn.others, unlabelled)
        assert (np.diff(drawn.row) >= 0).all()
        np.testing.assert_array_equal(anchors[drawn.row], source[drawn.edge])
        np.add.at(sums, anchors[drawn.row], drawn.coefficient * far[drawn.edge])
    checked = 0
    for node in range(16):
        to = set(unlabelled.tolist()) if node in unlabelled else None
        edges = graphs.edges_of(graph, node, mask, to)
        sigma = spread(edges, node, draw, normalize) / math.sqrt(k * epochs) if edges else 0.0
        want = omega(edges, node, normalize)
        assert abs(sums[node] / epochs - want) <= 5 * sigma + 1e-5 * (1 + want), node
        checked += bool(edges)
    assert checked >= 8


@pytest.mark.parametrize(("draw", "normalize"), SETTINGS)
def test_a_filter_that_keeps_all_has_the_same_coefficients(make, graphs, draw, normalize):
    graph = graphs.graph_of_kinds(make, 30, 120)
    nodes, none = np.arange(30), np.empty(0, dtype=np.int64)
    plain = PairSampler(graph, 400, draw, normalize=normalize).draw(nodes, none)
    every = PairSampler(
        graph, 400, draw, normalize=normalize, kinds=("coclick", "similar", "knn")
    ).draw(nodes, none)
    np.testing.assert_array_equal(plain.row, every.row)
    value = {}
    for drawn in (plain, every):
        assert drawn.coefficient.dtype == np.float32
        for e, c in zip(drawn.edge.tolist(), drawn.coefficient.tolist(), strict=True):
            assert value.setdefault(e, c) == pytest.approx(c, rel=1e-6)
    assert len(value) == graph.num_edges


def test_an_unknown_kind_is_named(make, graphs):
    graph = graphs.graph_of_kinds(make, 5, 5)
    with pytest.raises(
        ConfigError,
        match=r"edges\.kinds: likes is no kind of edge; the graph knows coclick, given, knn, sim",
    ):
        PairSampler(graph, 1, kinds=("coclick", "likes"))


def test_a_kind_that_no_edge_has_draws_nothing(make, graphs):
    graph = graphs.graph_of_kinds(make, 9, 20)
    drawn = PairSampler(graph, 3, kinds=("given",)).draw(np.arange(9), np.empty(0, dtype=np.int64))
    assert drawn.row.size == drawn.edge.size == drawn.coefficient.size == 0


def test_without_draws_others_have_no_edges(make, graphs):
    graph = graphs.graph_of_kinds(make, 9, 20)
    labelled, unlabelled = graphs.labelled_of(graph)
    for kinds in (None, ("knn",)):
        drawn = PairSampler(graph, 0, kinds=kinds, labels=graph.labels["given"]).draw(
            labelled, unlabelled
        )
        assert drawn.edge.size == 0
        np.testing.assert_array_equal(drawn.others, unlabelled)


@pytest.mark.parametrize("kinds", [None, ("coclick", "knn")])
def test_mapped_and_pickled_samplers_draw_the_same(make, graphs, tmp_path, monkeypatch, kinds):
    monkeypatch.setattr(pages, "SMALL", 0)
    graph = graphs.graph_of_kinds(make, 40, 160)
    save_graph(graph, tmp_path / "g")
    labelled, unlabelled = graphs.labelled_of(graph)
    mapped = open_graph(tmp_path / "g")
    samplers = [
        PairSampler(g, 3, "uniform", kinds=kinds, labels=g.labels["given"], seed=2)
        for g in (graph, mapped)
    ]
    assert samplers[1]._allowed._col.by_file(1)
    samplers += [pickle.loads(pickle.dumps(sampler)) for sampler in samplers]
    draws = [sampler.draw(labelled, unlabelled) for sampler in samplers]
    assert draws[0].edge.size > 0
    for drawn in draws[1:]:
        for name in ("others", "row", "edge", "coefficient"):
            np.testing.assert_array_equal(getattr(drawn, name), getattr(draws[0], name))
