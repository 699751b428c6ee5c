"""Connected groups of labelled images: a permutation of them, and groups as the rule says."""

from collections import defaultdict

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError
from graphrise.loader.grouped import _HEADS, Grouped
from graphrise.loader.order import SEED_STREAM
from graphrise.ops.counter_random import counter_uniform


def members(group):
    found = defaultdict(set)
    for image, number in enumerate(group.tolist()):
        found[number].add(image)
    return list(found.values())


def loop_heads(order, size, epoch, seed):
    """Image -> (head that its chain of draws leads to, hops), by following it."""
    pointer = order._pointers(epoch).tolist()
    heads = {
        i
        for i in range(len(order))
        if counter_uniform(seed, SEED_STREAM, _HEADS, epoch, i) < 1 / size or pointer[i] == i
    }
    for image in set(range(len(order))) - heads:
        chain = [image]
        while len(chain) < size and pointer[chain[-1]] not in heads | {image}:
            chain.append(pointer[chain[-1]])
        if pointer[chain[-1]] == image == min(chain):
            heads.add(image)  # the first of a circle that no head is in
    led = {}
    for image in range(len(order)):
        at, hops = image, 0
        while at not in heads and hops < size - 1:
            at, hops = pointer[at], hops + 1
        led[image] = (at, hops) if at in heads else (image, 0)
    return led


@settings(max_examples=80, deadline=None)
@given(
    nodes=st.integers(1, 60),
    edges=st.integers(0, 150),
    size=st.integers(1, 9),
    seed=st.integers(0, 30),
)
def test_groups_are_what_the_chains_say(make, graphs, nodes, edges, size, seed):
    graph = graphs.graph_of_kinds(make, nodes, edges, seed, labelled=0.7)
    labelled, _ = graphs.labelled_of(graph)
    order = Grouped(graph, labelled, size, seed=seed)
    net = nx.Graph(
        (u, v)
        for i, u in enumerate(labelled.tolist())
        for v in graph.col[graph.rowptr[u] : graph.rowptr[u + 1]].tolist()
    )
    net.add_nodes_from(labelled.tolist())
    led, uncut = loop_heads(order, size, 2, seed), defaultdict(set)
    for image, (head, _) in led.items():
        uncut[head].add(image)
    found = members(order.groups(2)) if labelled.size else []
    assert all(len(group) <= size for group in found)
    for head, whole in uncut.items():
        parts = [g for g in found if g & whole]
        assert set.union(*parts) == whole
        assert len(parts) == -(-len(whole) // size)
        # The part with the head is the nearest to it, hence connected; uncut, that is all.
        first = next(g for g in parts if head in g)
        assert nx.is_connected(net.subgraph(labelled[sorted(first)].tolist()))
        assert len(first) == min(size, len(whole))
        rest = whole - first
        if rest:
            assert max(led[i][1] for i in first) <= min(led[i][1] for i in rest)


def test_connected_groups_come_about(make):
    # A ring: half of its chains end in two images that draw each other.
    graph = make.made_graph(
        300, [(i, (i + 1) % 300, 1.0) for i in range(300)], {i: {0: 1.0} for i in range(300)}
    )
    order = Grouped(graph, np.arange(300), 4, seed=1)
    sizes = [len(g) for epoch in range(20) for g in members(order.groups(epoch))]
    assert max(sizes) == 4
    assert np.mean(sizes) > 1.8


def test_images_without_labelled_neighbours_stay_alone(make):
    # 0-1-2 with 1 unlabelled; 3 without any edge; 4-5 joined.
    labels = {n: {0: 1.0} for n in (0, 2, 3, 4, 5)}
    graph = make.made_graph(6, [(0, 1, 1.0), (1, 2, 1.0), (4, 5, 1.0)], labels)
    order, together = Grouped(graph, np.array([0, 2, 3, 4, 5]), 3, seed=0), 0
    for epoch in range(40):
        groups = members(order.groups(epoch))
        assert all({i} in groups for i in range(3))
        together += {3, 4} in groups
    # Unless both are heads: one of 9 epochs.
    assert 28 < together < 40


def test_weights_say_who_is_joined(make):
    labels = {n: {0: 1.0} for n in range(3)}
    graph = make.made_graph(3, [(0, 1, 0.9), (0, 2, 0.1)], labels)
    order = Grouped(graph, np.arange(3), 2, seed=4)
    drawn = np.array([order._pointers(epoch) for epoch in range(2000)])
    assert (drawn[:, 1:] == 0).all()
    assert abs((drawn[:, 0] == 1).mean() - 0.9) < 5 * np.sqrt(0.09 / 2000)


def test_kinds_connect(make, graphs):
    graph = graphs.graph_of_kinds(make, 40, 100)
    labelled, _ = graphs.labelled_of(graph)
    for kinds, mask in ((None, 7), (("coclick",), 1), (("similar", "knn"), 6)):
        order, seen = Grouped(graph, labelled, 3, kinds=kinds, seed=1), set()
        for epoch in range(30):
            pointer = order._pointers(epoch)
            for image in np.flatnonzero(pointer != np.arange(labelled.size)):
                seen.add((int(labelled[image]), int(labelled[pointer[image]])))
        allowed = {
            (int(u), v)
            for u in labelled
            for _, v, _ in graphs.edges_of(graph, u, mask, to=set(labelled.tolist()))
        }
        assert seen <= allowed
        assert len(seen) > 0.8 * len(allowed)
    with pytest.raises(ConfigError, match="likes is no kind of edge"):
        Grouped(graph, labelled, 3, kinds=("likes",))


def test_an_epoch_keeps_groups_together_and_is_a_permutation(make, graphs):
    graph = graphs.graph_of_kinds(make, 80, 250, labelled=0.8)
    labelled, _ = graphs.labelled_of(graph)
    count = labelled.size
    orders = [Grouped(graph, labelled, 4, seed=s) for s in (3, 3, 5)]
    seen = [[o.at(epoch, np.arange(count)) for epoch in (0, 1, 0)] for o in orders]
    for order in seen[0]:
        np.testing.assert_array_equal(np.sort(order), np.arange(count))
    for one, again in zip(*seen[:2], strict=True):
        np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(seen[0][0], seen[0][2])
    assert (seen[0][0] != seen[0][1]).any()
    assert (seen[0][0] != seen[2][0]).any()
    group = orders[0].groups(1)[seen[0][1]]
    assert np.count_nonzero(np.diff(group)) == np.unique(group).size - 1
    # The groups stand in random order, not in that of their numbers.
    assert (np.diff(group) < 0).any()
    np.testing.assert_array_equal(orders[0].at(1, np.array([5, 0])), seen[0][1][[5, 0]])


def test_blocks_of_any_size_give_the_same(make, graphs, monkeypatch):
    graph = graphs.graph_of_kinds(make, 50, 150)
    labelled, _ = graphs.labelled_of(graph)
    whole = Grouped(graph, labelled, 4, seed=3).groups(0)
    monkeypatch.setattr("graphrise.loader.grouped._BLOCK", 7)
    np.testing.assert_array_equal(Grouped(graph, labelled, 4, seed=3).groups(0), whole)


def test_size_one_and_nobody(make):
    graph = make.made_graph(5, [(0, 1, 1.0)], {n: {0: 1.0} for n in range(5)})
    order = Grouped(graph, np.arange(5), 1, seed=0)
    assert sorted(order.groups(0)) == list(range(5))
    assert sorted(order.at(0, np.arange(5))) == list(range(5))
    nobody = Grouped(graph, np.arange(0), 4, seed=0)
    assert len(nobody) == nobody.at(0, np.arange(0)).size == 0
