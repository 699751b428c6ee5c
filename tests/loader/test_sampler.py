"""The estimators of the edge term, against hand-computed sums and their own statistics."""

import math

import numpy as np
import pytest
import torch

from graphrise.graph.store import Graph
from graphrise.loader.sampler import PairSampler
from graphrise.nn.regularizer import EdgeRegularizer

# Edges 0-1 (w 0.2), 0-2 (w 0.6), 1-2 (w 0.5); node 3 has none.
EDGES = [(0, 1, 0.2), (0, 2, 0.6), (1, 2, 0.5)]
Z = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [9.0, 9.0]])
# Squared distances: 0-1: 1, 0-2: 4, 1-2: 1 + 4 = 5.
FULL = {
    True: [
        (0.2 * 1 + 0.6 * 4) / 0.8,  # 3.25
        (0.2 * 1 + 0.5 * 5) / 0.7,  # 3.857...
        (0.6 * 4 + 0.5 * 5) / 1.1,  # 4.4545...
        0.0,
    ],
    False: [0.2 * 1 + 0.6 * 4, 0.2 * 1 + 0.5 * 5, 0.6 * 4 + 0.5 * 5, 0.0],
}
D = {(0, 1): 1.0, (0, 2): 4.0, (1, 2): 5.0}


def distance(u, v):
    return D[min(u, v), max(u, v)]


@pytest.fixture
def graph(make):
    return make.made_graph(4, EDGES)


def draws(sampler, seeds, epochs):
    """Edges, seeds drawn for and coefficients over many epochs."""
    rows, edges, epoch_of = [], [], []
    for epoch in range(epochs):
        sampler.epoch = epoch
        row, edge = sampler.draw_edges(seeds)
        rows.append(row)
        edges.append(edge)
        epoch_of.append(np.full(row.size, epoch))
    return np.concatenate(rows), np.concatenate(edges), np.concatenate(epoch_of)


@pytest.mark.parametrize(
    ("draw", "normalize", "hand"),
    [
        # Seed 0 draws node 2 (the edge of weight 0.6, W = 0.8, two neighbours, d = 4), k = 1.
        ("weighted", True, 4.0),
        ("weighted", False, 0.8 * 4.0),
        ("uniform", True, 0.6 / 0.8 * 2 * 4.0),
        ("uniform", False, 0.6 * 2 * 4.0),
    ],
)
@pytest.mark.parametrize("k", [1, 3])
def test_one_drawn_edge_by_hand(graph, draw, normalize, hand, k):
    sampler = PairSampler(graph, k, draw, normalize=normalize)
    edge = np.full(k, 1)
    assert graph.col[1] == 2
    coefficient = torch.from_numpy(sampler.coefficient(edge, np.zeros(k, dtype=int)))
    pairs = torch.tensor([[0, 2]] * k).T
    omega = EdgeRegularizer()(Z, pairs, coefficient, 1)
    assert omega.item() == pytest.approx(hand)
    # Over two seeds, one without edges: the mean halves.
    assert EdgeRegularizer()(Z, pairs, coefficient, 2).item() == pytest.approx(hand / 2)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("draw", ["weighted", "uniform"])
@pytest.mark.parametrize("k", [1, 3])
def test_mean_over_epochs_is_the_full_sum(graph, draw, normalize, k):
    epochs, seeds = 4000, np.array([3, 2, 0, 1])
    sampler = PairSampler(graph, k, draw, normalize=normalize, seed=5)
    row, edge, _ = draws(sampler, seeds, epochs)
    coefficient = sampler.coefficient(edge, seeds[row])
    for position, u in enumerate(seeds):
        mine = row == position
        v = graph.col[edge[mine]]
        terms = np.array([c * distance(u, n) for c, n in zip(coefficient[mine], v, strict=True)])
        total = FULL[normalize][u]
        if u == 3:
            assert terms.size == 0
            continue
        assert terms.size == k * epochs
        # Variance of one draw's term from the known probabilities; k epochs of them are averaged.
        weight = {n: w for a, b, w in EDGES for n in {a, b} - {u} if u in (a, b)}
        whole, n_u = sum(weight.values()), len(weight)
        share = {n: w / whole if draw == "weighted" else 1 / n_u for n, w in weight.items()}
        scale = 1 / whole if normalize else 1.0
        value = {n: weight[n] * scale * distance(u, n) / share[n] for n in weight}
        assert sum(share[n] * value[n] for n in weight) == pytest.approx(total)
        variance = sum(share[n] * (value[n] - total) ** 2 for n in weight)
        bound = 5 * math.sqrt(variance / (k * epochs)) + 1e-6
        assert abs(terms.sum() / epochs - total) < bound


def chi_square(counts, weights):
    expected = counts.sum() * np.asarray(weights) / np.sum(weights)
    return ((counts - expected) ** 2 / expected).sum()


def test_weighted_draws_follow_the_weights(make):
    # A star: node 0 with five neighbours, one of nearly no weight, and a second row beside it.
    weights = [0.1, 0.4, 1.0, 0.001, 0.7]
    graph = make.made_graph(7, [(0, i + 1, w) for i, w in enumerate(weights)] + [(5, 6, 0.3)])
    sampler = PairSampler(graph, 200, "weighted", seed=1)
    seeds = np.array([0, 6])
    row, edge, _ = draws(sampler, seeds, 1000)
    counts = np.bincount(graph.col[edge[row == 0]], minlength=7)[1:6]
    # Four degrees of freedom: one in a million true samples lies above 33.4.
    assert chi_square(counts, weights) < 33.4
    assert set(graph.col[edge[row == 1]]) == {5}


def hub_graph():
    """Node 0 with 100,000 neighbours of rising weight, each with that one edge; node 1 has none."""
    leaves = 100_000
    weight = np.linspace(0.5, 1.5, leaves).astype(np.float32)
    rowptr = np.concatenate(([0, leaves, leaves], leaves + 1 + np.arange(leaves)))
    col = np.concatenate((np.arange(2, leaves + 2), np.zeros(leaves, dtype=np.int64)))
    kind = np.ones(2 * leaves, dtype=np.uint8)
    both = np.concatenate((weight, weight))
    return Graph(range(leaves + 2), rowptr, col.astype(np.int32), both, kind, {}, {})


@pytest.mark.parametrize("draw", ["weighted", "uniform"])
def test_a_hub_and_rows_of_one_edge(draw):
    graph = hub_graph()
    sampler = PairSampler(graph, 20_000, draw, seed=2)
    row, edge = sampler.draw_edges(np.array([1, 77, 0, 5]))
    assert np.bincount(row).tolist() == [0, 20_000, 20_000, 20_000]
    assert set(edge[row == 1]) == {100_000 + 75}
    assert set(edge[row == 3]) == {100_000 + 3}
    shares = graph.weight[:100_000].reshape(50, -1).sum(axis=1) if draw == "weighted" else [1] * 50
    # 49 degrees of freedom: one in a million true samples lies above 116.
    assert chi_square(np.bincount(edge[row == 2] // 2000, minlength=50), shares) < 116


@pytest.mark.parametrize("draw", ["weighted", "uniform"])
def test_draws_of_many_rows_at_once_follow_the_weights(make, draw):
    """Every row by itself, in one call: ten thousand rows of three edges."""
    rng = np.random.default_rng(3)
    weights = rng.random((10_000, 3)) + 0.1
    edges = [(i, 10_000 + j, weights[i, j]) for i in range(10_000) for j in range(3)]
    graph = make.made_graph(10_003, edges)
    sampler = PairSampler(graph, 1, draw, seed=3)
    chosen = []
    for epoch in range(40):
        sampler.epoch = epoch
        row, edge = sampler.draw_edges(rng.permutation(10_000))
        assert row.tolist() == list(range(10_000))
        chosen.append(edge % 3)
    share = weights / weights.sum(axis=1, keepdims=True) if draw == "weighted" else 1 / 3
    expected = np.broadcast_to(share, (10_000, 3)).sum(axis=0) * 40
    found = np.bincount(np.concatenate(chosen), minlength=3)
    # The variance of a sum of draws is at most that of even ones.
    assert (abs(found - expected) < 5 * np.sqrt(400_000 * 2 / 9)).all()


def test_uniform_draws_are_even_whatever_the_weights(graph):
    sampler = PairSampler(graph, 4, "uniform", seed=1)
    row, edge, _ = draws(sampler, np.array([0]), 4000)
    share = (graph.col[edge] == 1).mean()
    assert abs(share - 0.5) < 5 * 0.5 / math.sqrt(row.size)


def test_a_weighted_draw_never_counts_its_weight(graph):
    sampler = PairSampler(graph, 1, "weighted", normalize=True)
    every = np.arange(graph.num_edges)
    source = np.repeat(np.arange(4), np.diff(graph.rowptr))
    assert sampler.coefficient(every, source).tolist() == [1.0] * 6
    raw = PairSampler(graph, 2, "weighted", normalize=False)
    np.testing.assert_allclose(
        raw.coefficient(every, source), np.array([0.8, 0.7, 1.1])[source] / 2
    )


def test_draws_depend_on_seed_epoch_and_node_alone(graph):
    sampler = PairSampler(graph, 5, seed=3)
    _, together = sampler.draw_edges(np.array([2, 0, 1]))
    _, alone = sampler.draw_edges(np.array([0]))
    assert together[5:10].tolist() == alone.tolist()
    sampler.epoch = 1
    later = [sampler.draw_edges(np.array([0]))[1].tolist() for _ in range(2)]
    assert later[0] == later[1]
    many = PairSampler(graph, 64, seed=3).draw_edges(np.array([0]))[1]
    other = PairSampler(graph, 64, seed=4).draw_edges(np.array([0]))[1]
    assert (many != other).any()
    assert (many != many[0]).any()


def test_extreme_weights_stay_in_their_row(make):
    graph = make.made_graph(5, [(0, 1, 1e-30), (0, 2, 1.0), (3, 4, 1e-30)])
    sampler = PairSampler(graph, 200, seed=0)
    row, edge = sampler.draw_edges(np.array([0, 1, 3]))
    assert set(graph.col[edge[row == 0]]) == {2}
    assert set(graph.col[edge[row == 1]]) == {0}
    assert set(graph.col[edge[row == 2]]) == {4}


def test_no_draws_and_no_edges(make, graph):
    assert PairSampler(graph, 0).draw_edges(np.array([0, 1]))[1].size == 0
    row, edge = PairSampler(graph, 2).draw_edges(np.array([], dtype=np.int64))
    assert row.size == edge.size == 0
    row, edge = PairSampler(graph, 2).draw_edges(np.array([3, 3]))
    assert row.size == edge.size == 0
    bare = make.made_graph(3, [])
    row, edge = PairSampler(bare, 4).draw_edges(np.array([0, 2]))
    assert row.size == edge.size == 0
    assert PairSampler(bare, 4).coefficient(edge, row).size == 0


def test_offers_nodes_only(graph):
    with pytest.raises(TypeError, match="NodeLoader"):
        PairSampler(graph, 1).sample_from_edges(None)  # pyright: ignore
