"""Subgraph batches: every used edge inside, and the estimate of Omega against full sums."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError
from graphrise.graph import pages
from graphrise.graph.store import open_graph, save_graph
from graphrise.loader.subgraph import SubgraphSampler

NONE = np.empty(0, dtype=np.int64)
MASKS = {None: 255, ("coclick",): 1, ("similar", "knn"): 6}


def distance(u, v):
    return 1.0 + (3 * min(u, v) + 7 * max(u, v)) % 11


def estimates(graph, drawn, seeds):
    """Estimated Omega of each labelled image and then each of `others`."""
    anchors = np.concatenate((seeds, drawn.others))
    found = np.zeros(anchors.size)
    for row, edge, c in zip(drawn.row, drawn.edge, drawn.coefficient, strict=True):
        found[row] += c * distance(int(anchors[row]), int(graph.col[edge]))
    return found


def ratio(edges, node, inside, normalize):
    """The estimate by a loop: over the neighbours that are inside."""
    kept = [(v, w) for _, v, w in edges if v in inside]
    if not kept:
        return 0.0
    mean = sum(w * distance(node, v) for v, w in kept) / sum(w for _, w in kept)
    return mean if normalize else mean * sum(w for _, _, w in edges)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("kinds", [None, ("similar", "knn")])
def test_with_all_neighbours_inside_it_is_the_full_sum(make, graphs, normalize, kinds):
    graph = graphs.graph_of_kinds(make, 14, 40, seed=2)
    labelled, unlabelled = graphs.labelled_of(graph)
    seeds = labelled[::2]
    # So many draws that none of a handful of neighbours is left out.
    sampler = SubgraphSampler(
        graph, (3000,), normalize=normalize, kinds=kinds, labels=graph.labels["given"]
    )
    drawn = sampler.draw(seeds, unlabelled)
    found = estimates(graph, drawn, seeds)
    for position, node in enumerate(np.concatenate((seeds, unlabelled)).tolist()):
        to = set(unlabelled.tolist()) if position >= seeds.size else None
        edges = graphs.edges_of(graph, node, MASKS[kinds], to)
        want = ratio(edges, node, set(range(14)), normalize)
        assert found[position] == pytest.approx(want, rel=1e-5)
    assert np.count_nonzero(found) > found.size / 2


@settings(max_examples=80, deadline=None)
@given(
    nodes=st.integers(2, 40),
    edges=st.integers(0, 120),
    seed=st.integers(0, 50),
    fanouts=st.sampled_from([(), (1,), (2,), (1, 1), (2, 1, 1)]),
    kinds=st.sampled_from(list(MASKS)),
    normalize=st.booleans(),
    unlabelled=st.booleans(),
    neighbors=st.sampled_from(["encoder", "stop_gradient", "bank"]),
    data=st.data(),
)
def test_every_used_edge_inside_once_and_nothing_else(
    make, graphs, nodes, edges, seed, fanouts, kinds, normalize, unlabelled, neighbors, data
):
    graph = graphs.graph_of_kinds(make, nodes, edges, seed)
    labelled, rest = (x.tolist() for x in graphs.labelled_of(graph))
    chosen = st.lists(st.sampled_from(labelled), unique=True) if labelled else st.just([])
    seeds = np.array(data.draw(chosen), dtype=np.int64)
    chosen = st.lists(st.sampled_from(rest), unique=True, max_size=4) if rest else st.just([])
    others = np.array(data.draw(chosen), dtype=np.int64)
    sampler = SubgraphSampler(
        graph, fanouts, labels=graph.labels["given"], unlabelled_edges=unlabelled,
        normalize=normalize, kinds=kinds, neighbors=neighbors, seed=seed,
    )  # fmt: skip
    found: Any = sampler.sample(seeds, others)
    node = found.node.tolist()
    assert len(set(node)) == len(node)
    num_others = found.extras["num_others"]
    anchors = node[: seeds.size + num_others]
    assert anchors[: seeds.size + others.size] == [*seeds, *others]
    assert set(anchors[seeds.size :]) <= set(rest)
    # With a bank, the neighbours that were drawn are those that edges lead to.
    inside = set(node) | set(found.extras.get("bank_node", found.node[:0]).tolist())
    drawn = sampler.draw(seeds, others)
    mask = MASKS[kinds]
    used = [
        e
        for i, u in enumerate(anchors)
        for e, v, _ in graphs.edges_of(graph, u, mask, to=None if i < seeds.size else set(rest))
        if v in inside
    ]
    assert sorted(drawn.edge.tolist()) == sorted(used)
    assert len(set(used)) == len(used)
    # Beyond the images that were asked for, each is at a used edge.
    touched = {anchors[r] for r in drawn.row.tolist()} | set(graph.col[drawn.edge].tolist())
    assert inside - set(seeds.tolist()) - set(others.tolist()) <= touched
    if not unlabelled or neighbors != "encoder":
        assert num_others == others.size
    for position, (u, value) in enumerate(
        zip(anchors, estimates(graph, drawn, seeds), strict=True)
    ):
        to = None if position < seeds.size else set(rest)
        want = ratio(graphs.edges_of(graph, u, mask, to), u, inside, normalize)
        assert value == pytest.approx(want, rel=1e-5)


def test_the_ratio_by_hand(make):
    # 0 labelled, with neighbours 1 (w 0.2), 2 (w 0.6), 3 (w 0.4); 1 and 2 labelled, 3 not.
    labels = {n: {0: 1.0} for n in (0, 1, 2)}
    graph = make.made_graph(4, [(0, 1, 0.2), (0, 2, 0.6), (0, 3, 0.4), (1, 3, 0.5)], labels)
    for normalize, whole in ((True, 1.0), (False, 1.2)):
        sampler = SubgraphSampler(graph, (), normalize=normalize)
        drawn = sampler.draw(np.array([0, 1, 2]), NONE)
        assert drawn.row.tolist() == [0, 0, 1, 2]
        assert graph.col[drawn.edge].tolist() == [1, 2, 0, 0]
        own = 1.0 if normalize else 0.7
        want = [whole * 0.2 / 0.8, whole * 0.6 / 0.8, own, 1.0 if normalize else 0.6]
        assert drawn.coefficient.tolist() == pytest.approx(want)
        assert drawn.coefficient.dtype == np.float32


def test_unlabelled_edges(make):
    # 0 labelled; 1 and 2 unlabelled and joined; everyone draws everyone.
    graph = make.made_graph(3, [(0, 1, 0.5), (0, 2, 0.5), (1, 2, 0.3)], {0: {0: 1.0}})
    options = {"labels": graph.labels["given"], "unlabelled_edges": True}
    drawn = SubgraphSampler(graph, (50,), **options).draw(np.array([0]), NONE)
    assert drawn.others.tolist() == [1, 2]
    assert drawn.row.tolist() == [0, 0, 1, 2]
    # From 1 and 2 to each other only: the edges to 0 count from 0.
    assert graph.col[drawn.edge].tolist() == [1, 2, 2, 1]
    assert drawn.coefficient.tolist() == [0.5, 0.5, 1, 1]
    raw = SubgraphSampler(graph, (50,), normalize=False, **options).draw(np.array([0]), NONE)
    assert raw.coefficient.tolist() == pytest.approx([0.5, 0.5, 0.3, 0.3])


def test_an_unlabelled_image_without_unlabelled_neighbours_counts_with_nothing(make):
    graph = make.made_graph(3, [(0, 1, 0.5), (0, 2, 0.5)], {0: {0: 1.0}})
    options = {"labels": graph.labels["given"], "unlabelled_edges": True}
    drawn = SubgraphSampler(graph, (50,), **options).draw(np.array([0]), NONE)
    assert drawn.others.tolist() == [1, 2]
    assert drawn.row.tolist() == [0, 0]


def test_an_image_that_no_used_edge_reaches_is_left_out(make):
    # From 0 over the labelled 1 to 2: the edge 1-2 counts from 1 only, which is no seed.
    graph = make.made_graph(3, [(0, 1, 1.0), (1, 2, 9.0)], {0: {0: 1.0}, 1: {0: 1.0}})
    for unlabelled in (False, True):
        sampler = SubgraphSampler(
            graph, (1, 30), labels=graph.labels["given"], unlabelled_edges=unlabelled
        )
        found = sampler.sample(np.array([0]))
        assert found.node.tolist() == [0, 1]
        assert found.extras["num_others"] == 0


def test_fanouts_grow_hop_by_hop(make):
    # A path of which only the first image is labelled.
    path = [(i, i + 1, 1.0) for i in range(6)]
    graph = make.made_graph(7, path, {0: {0: 1.0}})
    for hops in range(4):
        sampler = SubgraphSampler(
            graph, (40,) * hops, labels=graph.labels["given"], unlabelled_edges=True
        )
        assert sorted(sampler.sample(np.array([0])).node.tolist()) == list(range(hops + 1))


def test_an_image_draws_at_one_hop_only(make):
    # 0 draws 1, 1 a leaf, the leaf draws 1 again: there it ends.
    edges = [(0, 1, 1.0), *((1, leaf, 9.0) for leaf in range(2, 12))]
    graph = make.made_graph(12, edges, {0: {0: 1.0}})
    options = {"labels": graph.labels["given"], "unlabelled_edges": True}
    sampler, sizes = SubgraphSampler(graph, (1,) * 6, **options), set()
    for epoch in range(40):
        sampler.epoch = epoch
        sizes.add(sampler.sample(np.array([0])).node.numel())
    assert max(sizes) == 3


def test_draws_are_by_weight_and_anew_every_epoch(make):
    graph = make.made_graph(3, [(0, 1, 0.9), (0, 2, 0.1)], {0: {0: 1.0}})
    sampler, seen = SubgraphSampler(graph, (1,), seed=3), []
    for epoch in range(2000):
        sampler.epoch = epoch
        seen.append(int(graph.col[sampler.draw(np.array([0]), NONE).edge[0]]))
    assert abs(seen.count(1) / 2000 - 0.9) < 5 * np.sqrt(0.09 / 2000)
    sampler.epoch = 7
    assert graph.col[sampler.draw(np.array([0]), NONE).edge[0]] == seen[7]


def test_every_choice_of_every_hop_comes_up(make):
    # 0 draws 1 or 2, and either of them, by weight, 3 or 4.
    edges = [(0, 1, 1.0), (0, 2, 1.0)] + [(u, v, 1e6) for u in (1, 2) for v in (3, 4)]
    graph, seen = make.made_graph(5, edges, {0: {0: 1.0}}), set()
    options = {"labels": graph.labels["given"], "unlabelled_edges": True}
    sampler = SubgraphSampler(graph, (1, 1), **options)
    for epoch in range(60):
        sampler.epoch = epoch
        seen.add(tuple(sorted(sampler.sample(np.array([0])).node.tolist())))
    assert seen == {(0, 1, 3), (0, 1, 4), (0, 2, 3), (0, 2, 4)}


def test_a_mapped_graph_gives_the_same(make, graphs, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "SMALL", 0)
    graph = graphs.graph_of_kinds(make, 40, 160)
    save_graph(graph, tmp_path / "g")
    labelled, unlabelled = graphs.labelled_of(graph)
    found = [
        SubgraphSampler(
            g, (2, 1), labels=g.labels["given"], unlabelled_edges=True, kinds=("coclick",)
        ).draw(labelled[:6], unlabelled[:2])
        for g in (graph, open_graph(tmp_path / "g"))
    ]
    assert found[0].edge.size > 0
    for name in ("others", "row", "edge", "coefficient"):
        np.testing.assert_array_equal(*(getattr(drawn, name) for drawn in found))


def test_an_unknown_kind_is_named(make):
    with pytest.raises(ConfigError, match="likes is no kind of edge; the graph knows coclick"):
        SubgraphSampler(make.made_graph(2, []), kinds=("likes",))
