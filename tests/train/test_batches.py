"""Settings to samplers and plans: every one of them arrives."""

import dataclasses

import numpy as np
import pytest

from graphrise.config import BankConfig
from graphrise.errors import ConfigError
from graphrise.graph.store import KNN
from graphrise.loader.plan import roles
from graphrise.loader.sampler import PairSampler
from graphrise.loader.subgraph import SubgraphSampler
from graphrise.train.batches import batch_plan, edge_sampler

NODES = 30


@pytest.fixture
def graph(make):
    """A ring of 30 images, every third edge found by kNN as well; the even ones are labelled."""
    ring = [(i, (i + 1) % NODES, 0.5) for i in range(NODES)]
    chords = [(i, (i + 2) % NODES, 2.0) for i in range(0, NODES, 2)]
    labels = {n: {0: 1.0} for n in range(0, NODES, 2)}
    graph = make.made_graph(NODES, ring + chords, labels)
    # All of one weight are of one kind.
    kind = np.where(graph.weight == 2.0, KNN, graph.kind).astype(np.uint8)
    return dataclasses.replace(graph, kind=kind)


@pytest.fixture
def of(make, graph):
    def both(**stages):
        config, labels = make.small_run(**stages), graph.labels["given"]
        return edge_sampler(graph, labels, config), batch_plan(graph, labels, config)

    return both


def drawn(sampler, others=()):
    return sampler.draw(np.arange(0, NODES, 2), np.array(others, dtype=np.int64))


def parts_of(plan):
    return [roles(np.array(codes), NODES) for codes in plan]


def test_without_an_edge_term_nothing_is_drawn(of):
    for edges in ({}, {"sampler": "subgraph"}, {"embeddings": "bank"}):
        sampler, plan = of(edges=edges)
        assert drawn(sampler).edge.size == 0
        assert all(b.size == c.size == 0 for _, b, c in parts_of(plan))


def test_pairs(of, graph):
    sampler, _ = of(edges={"alpha": 1.0, "neighbors": 3, "draw": "uniform", "normalize": False})
    assert isinstance(sampler, PairSampler)
    found = drawn(sampler)
    assert found.edge.size == 3 * NODES // 2
    # Four neighbours each; w n / k.
    assert set(found.coefficient.tolist()) == {np.float32(0.5 * 4 / 3), np.float32(2.0 * 4 / 3)}
    knn, _ = of(edges={"alpha": 1.0, "kinds": ("knn",)})
    assert (graph.kind[drawn(knn).edge] == KNN).all()


def test_subgraphs(of, graph):
    edges = {"alpha": 1.0, "sampler": "subgraph", "normalize": False, "fanouts": ()}
    sampler, _ = of(edges=edges)
    assert isinstance(sampler, SubgraphSampler)
    # Labelled images only, so the two chords of each; together they stand for its whole weight.
    assert drawn(sampler).coefficient.tolist() == [2.5] * NODES
    ring, _ = of(edges=edges | {"kinds": ("coclick",), "fanouts": (40,)})
    assert (graph.kind[drawn(ring).edge] != KNN).all()
    assert drawn(ring).coefficient.tolist() == [0.5] * NODES


@pytest.mark.parametrize("sampler", ["pairs", "subgraph"])
def test_neighbours_come_from_where_the_config_says(of, sampler):
    for where in ("encoder", "stop_gradient", "bank"):
        found, _ = of(edges={"alpha": 1.0, "sampler": sampler, "embeddings": where})
        assert found.neighbors == where


def test_edges_among_unlabelled_images(of):
    edges = {"alpha_unlabelled": 1.0, "unlabelled_ratio": 0.8, "sampler": "subgraph"}
    sampler, plan = of(edges=edges)
    others = np.concatenate([part for _, part, _ in parts_of(plan)])
    assert others.size == np.unique(others).size == int(0.8 * NODES / 2)
    assert (others % 2 == 1).all()
    # With fan-outs, those that labelled images bring along have a term as well.
    assert drawn(sampler).others.size > 0
    assert drawn(of(edges={**edges, "alpha_unlabelled": 0.0, "alpha": 1.0})[0]).others.size == 0


def test_the_sweep_of_a_bank(of):
    edges = {"alpha": 1.0, "embeddings": "bank", "bank": BankConfig(sweep_every=2)}
    _, plan = of(edges=edges)
    assert [c.size for _, _, c in parts_of(plan)] == [3, 0, 3, 0, 3]
    _, never = of(edges=edges | {"bank": BankConfig(sweep_every=None)})
    assert sum(c.size for _, _, c in parts_of(never)) == 0


def test_groups_bring_neighbours_into_one_batch(of):
    def pairs_together(**edges):
        _, plan = of(edges={"alpha": 1.0, "sampler": "subgraph", **edges})
        joined = 0
        for epoch in range(30):
            plan.set_epoch(epoch)
            for seeds, _, _ in parts_of(plan):
                gap = np.abs(seeds[:, None] - seeds[None])
                joined += int(np.isin(gap, (2, NODES - 2)).sum()) // 2
        return joined

    assert pairs_together(group_size=3) > 1.5 * pairs_together(group_size=1)
    # Groups over kinds without an edge between labelled images are single images.
    assert pairs_together(group_size=3, kinds=("coclick",)) < pairs_together(group_size=3) / 1.5


def test_seeds_of_a_run_reach_draws_and_orders(of):
    for name in ("pairs", "subgraph"):
        edges = {"alpha": 1.0, "sampler": name}
        found = [of(edges=edges, train={"seed": seed}) for seed in (1, 1, 2)]
        draws = [drawn(sampler).edge.tolist() for sampler, _ in found]
        orders = [[a.tolist() for a, _, _ in parts_of(plan)] for _, plan in found]
        assert draws[0] == draws[1] != draws[2]
        assert orders[0] == orders[1] != orders[2]


def test_ranks(make, graph):
    labels, config = graph.labels["given"], make.small_run()
    seen = []
    for rank in range(3):
        plan = batch_plan(graph, labels, config, rank=rank, world_size=3)
        seen += [n for a, _, _ in parts_of(plan) for n in a.tolist()]
    assert sorted(seen) == list(range(0, NODES, 2))
    with pytest.raises(ConfigError, match="15 labelled images for 16 ranks"):
        batch_plan(graph, labels, config, world_size=16)
