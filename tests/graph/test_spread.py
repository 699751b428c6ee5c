"""Spread labels against a dense matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError
from graphrise.graph.spread import spread_labels
from graphrise.ops.sparse_rows import step

N, C = 7, 3
graphs = st.dictionaries(
    st.sampled_from([(u, v) for u in range(N) for v in range(u + 1, N)]),
    st.integers(1, 64).map(lambda n: n / 64),
    max_size=12,
)
labellings = st.dictionaries(
    st.integers(0, N - 1),
    st.dictionaries(st.integers(0, C - 1), st.floats(0.1, 1), min_size=1),
    max_size=N,
)


def dense_of(ragged, classes=C):
    out = np.zeros((len(ragged), classes))
    row, index, weight = ragged.rows(np.arange(len(ragged)))
    out[row, index] = weight
    return out


def dense_spread(graph, q, power, top):
    w = np.zeros((N, N))
    w[np.repeat(np.arange(N), np.diff(graph.rowptr)), graph.col] = graph.weight
    mixed = q + w @ q
    out = np.zeros_like(mixed)
    for i, row in enumerate(mixed):
        if row.any():
            sharp = (row / row.max()) ** power
            keep = np.lexsort((np.arange(C), -sharp))[:top]
            out[i, keep] = sharp[keep] / sharp[keep].sum()
    return out


@settings(max_examples=40, deadline=None)
@given(
    edges=graphs, labels=labellings, power=st.sampled_from([0.5, 1.0, 2.0]), block=st.integers(1, 9)
)
def test_equals_the_dense_mix(make, edges, labels, power, block):
    graph = make.made_graph(N, [(u, v, w) for (u, v), w in edges.items()], labels)
    got = spread_labels(graph, graph.labels["given"], power=power, top=C)
    want = dense_spread(graph, dense_of(graph.labels["given"]), power, C)
    np.testing.assert_allclose(dense_of(got), want, rtol=1e-5, atol=1e-6)
    reached = want.any(axis=1)
    np.testing.assert_allclose(dense_of(got).sum(axis=1), reached.astype(float), rtol=1e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "BLOCK_ENTRIES", block)
        small = spread_labels(graph, graph.labels["given"], power=power, top=C)
    for name in ("rowptr", "index", "weight"):
        np.testing.assert_array_equal(getattr(small, name), getattr(got, name))


def test_by_hand(make):
    # Node 1 sees label 0 by weight 0.6 and label 1 by weight 0.2; squared: 9 to 1.
    graph = make.made_graph(4, [(0, 1, 0.6), (1, 2, 0.2)], {0: {0: 1.0}, 2: {1: 1.0}})
    got = dense_of(spread_labels(graph, graph.labels["given"], power=2.0))
    np.testing.assert_allclose(got[1], [0.9, 0.1, 0], rtol=1e-6)
    np.testing.assert_allclose(got[0], [1, 0, 0])
    np.testing.assert_allclose(got[3], [0, 0, 0])


def test_power_sharpens_and_top_cuts(make):
    graph = make.made_graph(3, [(0, 1, 0.6), (0, 2, 0.5)], {0: {2: 1.0}, 1: {0: 1.0}, 2: {1: 1.0}})
    heaviest = [
        dense_of(spread_labels(graph, graph.labels["given"], power=p)).max(axis=1)
        for p in (1.0, 2.0, 8.0)
    ]
    assert (heaviest[0] < heaviest[1]).all()
    assert (heaviest[1] < heaviest[2]).all()
    two = spread_labels(graph, graph.labels["given"], power=1.0, top=2)
    assert two.counts.tolist() == [2, 2, 2]
    np.testing.assert_allclose(dense_of(two)[0], [0.6 / 1.6, 0, 1 / 1.6], rtol=1e-6)
    one = spread_labels(graph, graph.labels["given"], power=1.0, top=1)
    assert one.top().tolist() == [2, 0, 1]


def test_equals_go_to_the_lowest_label(make):
    graph = make.made_graph(
        4, [(0, i, 0.5) for i in (1, 2, 3)], {i: {3 - i: 1.0} for i in (1, 2, 3)}
    )
    two = spread_labels(graph, graph.labels["given"], top=2)
    assert two.rows(np.array([0]))[1].tolist() == [0, 1]


def test_a_high_power_does_not_underflow(make):
    graph = make.made_graph(2, [(0, 1, 1e-6)], {0: {0: 1.0}})
    got = spread_labels(graph, graph.labels["given"], power=200.0)
    np.testing.assert_allclose(dense_of(got)[1], [1, 0, 0])


def test_empty_graphs(make):
    bare = make.made_graph(3, [], {1: {0: 0.25, 2: 0.75}})
    got = dense_of(spread_labels(bare, bare.labels["given"], power=1.0))
    np.testing.assert_allclose(got, [[0, 0, 0], [0.25, 0, 0.75], [0, 0, 0]])
    unlabelled = make.made_graph(3, [(0, 1, 1.0)])
    assert spread_labels(unlabelled, unlabelled.labels["given"]).counts.tolist() == [0, 0, 0]


def test_node_order_does_not_matter(make):
    edges = [(0, 1, 0.5), (1, 2, 0.25), (0, 3, 1.0), (3, 4, 0.125)]
    labels = {0: {0: 1.0}, 2: {1: 0.5, 2: 0.5}, 4: {1: 1.0}}
    place = [3, 0, 4, 1, 2]
    one = make.made_graph(5, edges, labels)
    other = make.made_graph(
        5,
        [(min(place[u], place[v]), max(place[u], place[v]), w) for u, v, w in edges],
        {place[n]: of for n, of in labels.items()},
    )
    got = dense_of(spread_labels(one, one.labels["given"]))
    moved = dense_of(spread_labels(other, other.labels["given"]))
    np.testing.assert_allclose(moved[place], got, rtol=1e-6)


def test_steps_and_files(make, tmp_path):
    graph = make.made_graph(4, [(0, 1, 0.5), (1, 2, 0.25), (2, 3, 1.0)], {0: {2: 1.0}})
    labels = graph.labels["given"]
    reached = [int((spread_labels(graph, labels, steps=t).counts > 0).sum()) for t in range(5)]
    assert reached == [1, 2, 3, 4, 4]
    mapped = spread_labels(graph, labels, steps=2, folder=tmp_path / "soft")
    two = spread_labels(graph, labels, steps=2)
    for name in ("rowptr", "index", "weight"):
        np.testing.assert_array_equal(getattr(mapped, name), getattr(two, name))
    once = spread_labels(graph, spread_labels(graph, labels))
    np.testing.assert_array_equal(dense_of(once), dense_of(two))


def test_refusals(make):
    graph = make.made_graph(3, [])
    labels = graph.labels["given"]
    for power, top in ((0.0, 8), (-1.0, 8), (2.0, 0)):
        with pytest.raises(ConfigError, match="power must be above 0 and top at least 1"):
            spread_labels(graph, labels, power=power, top=top)
    with pytest.raises(ConfigError, match="labels of 3 nodes on a graph of 4 nodes"):
        spread_labels(make.made_graph(4, []), labels)
