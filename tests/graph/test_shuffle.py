"""The control: the same graph over other images."""

from collections import Counter

import numpy as np
import pytest

from graphrise.graph.shuffle import shuffle_nodes

EDGES = [(0, 1, 0.5), (0, 2, 0.25), (0, 3, 1.0), (4, 5, 0.125)]


def pairs(graph):
    row = np.repeat(np.arange(graph.num_nodes), np.diff(graph.rowptr))
    return {
        (int(u), int(v)): float(w) for u, v, w in zip(row, graph.col, graph.weight, strict=True)
    }


def test_keeps_all_but_the_images(make):
    graph = make.made_graph(8, EDGES, {0: {0: 1.0}, 7: {1: 1.0}})
    moved = shuffle_nodes(graph, 1)
    before, after = pairs(graph), pairs(moved)
    assert after != before
    assert len(after) == len(before) == 8
    assert sorted(after.values()) == sorted(before.values())
    assert all(after[v, u] == w for (u, v), w in after.items())
    degrees = [Counter(np.diff(g.rowptr).tolist()) for g in (graph, moved)]
    assert degrees[0] == degrees[1]
    for u in range(8):
        row = moved.col[moved.rowptr[u] : moved.rowptr[u + 1]]
        assert (np.diff(row) > 0).all()
    assert moved.labels["given"] is graph.labels["given"]
    assert moved.image_ids == graph.image_ids
    assert pairs(graph) == before


def test_is_a_relabelling(make):
    # Weights are all different, so they tell which edge went where: one permutation fits all.
    graph = make.made_graph(8, EDGES)
    moved = {w: {u, v} for (u, v), w in pairs(shuffle_nodes(graph, 3)).items()}
    hub = set.intersection(moved[0.5], moved[0.25], moved[1.0])
    assert len(hub) == 1
    assert not moved[0.125] & (moved[0.5] | moved[0.25] | moved[1.0])


def test_follows_the_seed(make):
    graph = make.made_graph(8, EDGES)
    assert pairs(shuffle_nodes(graph, 1)) == pairs(shuffle_nodes(graph, 1))
    assert len({tuple(sorted(pairs(shuffle_nodes(graph, s)).items())) for s in range(10)}) > 5
    assert shuffle_nodes(make.made_graph(3, []), 0).num_edges == 0


def ring(make, count):
    return make.made_graph(count, [(u, (u + 1) % count, 1 + u) for u in range(count)])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_share_of_the_nodes_is_dealt_among_themselves(make, share):
    graph = ring(make, 200)
    before, after = pairs(graph), pairs(shuffle_nodes(graph, 4, share))
    assert sorted(after.values()) == sorted(before.values())
    assert all(after[v, u] == w for (u, v), w in after.items())
    # Weights tell edges apart: an end that is another node now was dealt.
    moved = {}
    for place, edges in ((0, before), (1, after)):
        for (u, v), w in edges.items():
            if u < v or (u, v) == (199, 0):
                moved.setdefault(w, [set(), set()])[place] |= {u, v}
    dealt = set().union(*(a ^ b for a, b in moved.values()))
    assert 0.7 * share * 200 < len(dealt) <= round(share * 200)
    kept = sum(a == b for a, b in moved.values()) / 200
    assert abs(kept - (1 - share) ** 2) < 0.12


def test_a_share_of_none_and_of_all(make):
    graph = ring(make, 30)
    assert pairs(shuffle_nodes(graph, 2, 0.0)) == pairs(graph)
    assert pairs(shuffle_nodes(graph, 2, 1.0)) == pairs(shuffle_nodes(graph, 2))
