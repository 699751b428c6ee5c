"""Spread labels against a dense matrix and plain loops."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from graphrise.config import LabelConfig
from graphrise.errors import ConfigError, DataError
from graphrise.graph.spread import respread, spread_labels
from graphrise.graph.store import COCLICK, KNN, SIMILAR
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


def plain_spread(graph, start, given, *, steps, own, kinds, clamp, top, power, cosine):
    """One node, one edge and one label after the other, on dicts."""
    weights, rows = {}, dict(start)
    for u in range(graph.num_nodes):
        for e in range(graph.rowptr[u], graph.rowptr[u + 1]):
            v = int(graph.col[e])
            used = kinds is None or graph.kind[e] & sum(graph.kinds[k] for k in set(kinds))
            weights[u, v] = float(graph.weight[e]) * cosine(u, v) if used else 0.0
    for _ in range(steps):
        new = {}
        for v in range(graph.num_nodes):
            mixed: dict[int, float] = {}
            for u, w in [(v, own), *((u, w) for (x, u), w in weights.items() if x == v)]:
                for label, share in rows.get(u, {}).items():
                    mixed[label] = mixed.get(label, 0.0) + w * share
            best = sorted(mixed, key=lambda k: (-mixed[k], k))[:top]
            kept = {k: mixed[k] for k in best if mixed[k] > 0}
            total = sum((share / max(kept.values())) ** power for share in kept.values())
            new[v] = {k: (s / max(kept.values())) ** power / total for k, s in kept.items()}
        rows = {**new, **(given if clamp else {})}
    return {v: row for v, row in rows.items() if row}


def as_dicts(ragged):
    out: dict[int, dict[int, float]] = {}
    for v, k, share in zip(*(a.tolist() for a in ragged.rows(np.arange(len(ragged)))), strict=True):
        out.setdefault(v, {})[k] = share
    return out


def of_kinds(graph, seed):
    """The graph with kinds of its edges drawn, alike in both directions."""
    bits = np.array([COCLICK, SIMILAR, KNN, COCLICK | KNN], dtype=np.uint8)
    row = np.repeat(np.arange(graph.num_nodes), np.diff(graph.rowptr))
    low, high = np.minimum(row, graph.col), np.maximum(row, graph.col)
    return dataclasses.replace(graph, kind=bits[(7 * low + 3 * high + seed) % 4])


def close(got, want):
    assert got.keys() == want.keys()
    for v, row in want.items():
        # A share that float32 cannot hold is none.
        assert {k for k, share in row.items() if share > 1e-30} <= got[v].keys() <= row.keys()
        for k, share in got[v].items():
            assert share == pytest.approx(row[k], abs=1e-4)


settings_drawn = st.fixed_dictionaries(
    {
        "steps": st.integers(0, 4),
        # Odd enough that no two labels of a node come out alike but for rounding.
        "own": st.sampled_from([0.0, 1.0, 0.37, 3.11]),
        "kinds": st.sampled_from([None, ("coclick",), ("similar", "knn"), ("given",)]),
        "clamp": st.booleans(),
        "top": st.integers(1, C),
        "power": st.sampled_from([1.0, 2.0, 3.3]),
    }
)
predicted = st.dictionaries(
    st.integers(0, N - 1),
    st.dictionaries(st.integers(0, C - 1), st.floats(0.1, 1), min_size=1),
    max_size=N,
)


@settings(max_examples=120, deadline=None)
@given(edges=graphs, labels=labellings, how=settings_drawn, seed=st.integers(0, 3))
def test_equals_plain_loops(make, edges, labels, how, seed):
    drawn = [(u, v, w) for (u, v), w in edges.items()]
    graph = of_kinds(make.made_graph(N, drawn, labels), seed)
    given = as_dicts(graph.labels["given"])
    want = plain_spread(graph, given, given, **how, cosine=lambda u, v: 1.0)
    assume(distinct(graph, given, given, how, lambda u, v: 1.0))
    got = spread_labels(graph, graph.labels["given"], **how)
    close(as_dicts(got), want)
    reached = within_reach(graph, given, how)
    assert set(as_dicts(got)) <= reached
    for row in as_dicts(got).values():
        assert sum(row.values()) == pytest.approx(1, abs=1e-6)
    if how["clamp"]:
        assert {v: as_dicts(got)[v] for v in given} == given


@settings(max_examples=80, deadline=None)
@given(
    edges=graphs,
    labels=labellings,
    guesses=predicted,
    how=settings_drawn,
    trust=st.sampled_from([0.0, 0.43, 1.0]),
    looks=st.booleans(),
    seed=st.integers(0, 3),
)
def test_respread_equals_plain_loops(make, edges, labels, guesses, how, trust, looks, seed):
    drawn = [(u, v, w) for (u, v), w in edges.items()]
    graph = of_kinds(make.made_graph(N, drawn, labels), seed)
    predictions = make.made_graph(N, [], guesses).labels["given"]
    z = np.random.default_rng(seed).normal(size=(N, 2)).astype(np.float32)
    z[N - 1] = 0

    def cosine(u, v):
        length = math.hypot(*z[u]) * math.hypot(*z[v])
        return max(0.0, float(z[u] @ z[v]) / length) if length else 0.0

    given = as_dicts(graph.labels["given"])
    weighed = {
        v: {k: trust * s for k, s in row.items()} for v, row in as_dicts(predictions).items()
    }
    start = {**weighed, **given}
    cosines = cosine if looks else lambda u, v: 1.0
    how = {**how, "steps": max(1, how["steps"])}
    assume(distinct(graph, start, given, how, cosines))
    want = plain_spread(graph, start, given, **how, cosine=cosines)
    config = LabelConfig(**{f"spread_{name}": value for name, value in how.items()})
    config = dataclasses.replace(config, spread_trust=trust)
    got = respread(
        graph,
        graph.labels["given"],
        config,
        predictions=predictions,
        embeddings=z if looks else None,
    )
    close(as_dicts(got), want)


def distinct(graph, start, given, how, cosine):
    """Whether no cut falls between labels that are alike but for rounding."""
    for steps in range(how["steps"]):
        before = {**how, "steps": steps}
        rows = plain_spread(graph, start, given, **before, cosine=cosine)
        whole = plain_spread(
            graph, rows, {}, **{**how, "steps": 1, "top": C, "power": 1.0, "clamp": False},
            cosine=cosine,
        )  # fmt: skip
        for row in whole.values():
            shares = sorted(row.values())
            if any(0 < b - a < 1e-6 * b for a, b in itertools.pairwise(shares)):
                return False
    return True


def within_reach(graph, given, how):
    """Labelled nodes and those that the steps can lead to from there."""
    mask = 255 if how["kinds"] is None else sum(graph.kinds[k] for k in how["kinds"])
    reached = set(given)
    for _ in range(how["steps"]):
        reached |= {
            v
            for v in range(graph.num_nodes)
            for e in range(graph.rowptr[v], graph.rowptr[v + 1])
            if graph.kind[e] & mask and int(graph.col[e]) in reached
        }
    return reached


def test_respread_without_news_is_spread_labels(make):
    graph = make.made_graph(4, [(0, 1, 0.5), (1, 2, 0.25), (2, 3, 1.0)], {0: {2: 1.0}})
    labels = graph.labels["given"]
    one = respread(graph, labels, LabelConfig())
    for name in ("rowptr", "index", "weight"):
        np.testing.assert_array_equal(
            getattr(one, name), getattr(spread_labels(graph, labels), name)
        )


def test_respread_through_files(make, tmp_path):
    edges = [(i, i + 1, 0.5) for i in range(8)]
    graph = of_kinds(make.made_graph(9, edges, {0: {2: 1.0}, 5: {0: 0.5, 1: 0.5}}), 1)
    labels = graph.labels["given"]
    predictions = make.made_graph(9, [], {3: {1: 0.75, 2: 0.25}, 8: {0: 1.0}}).labels["given"]
    news = {
        "predictions": predictions,
        "embeddings": np.random.default_rng(0).normal(size=(9, 4)).astype(np.float16),
    }
    config = LabelConfig(spread_steps=2, spread_kinds=("coclick", "similar"), spread_trust=0.5)
    want = respread(graph, labels, config, **news)
    got = respread(graph, labels, config, **news, folder=tmp_path / "spread" / "001")
    for name in ("rowptr", "index", "weight"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
    assert [p.name for p in (tmp_path / "spread").iterdir()] == ["001"]
    with pytest.raises(DataError, match="exists already"):
        respread(graph, labels, config, folder=tmp_path / "spread" / "001")
    assert [p.name for p in (tmp_path / "spread").iterdir()] == ["001"]


def test_respread_refusals(make):
    graph = make.made_graph(3, [(0, 1, 0.5)], {0: {0: 1.0}})
    labels = graph.labels["given"]
    with pytest.raises(ConfigError, match=r"labels\.spread_kinds: likes is no kind of edge"):
        respread(graph, labels, LabelConfig(spread_kinds=("likes",)))
    with pytest.raises(ConfigError, match="kinds: likes is no kind of edge"):
        spread_labels(graph, labels, kinds=("likes",))
    other = make.made_graph(4, []).labels["given"]
    with pytest.raises(ConfigError, match="predictions of 4 nodes for labels of 3"):
        respread(graph, labels, LabelConfig(), predictions=other)
    for z in (np.zeros((2, 4), dtype=np.float32), np.zeros(3, dtype=np.float32)):
        with pytest.raises(ConfigError, match="give one a node"):
            respread(graph, labels, LabelConfig(), embeddings=z)
    z = np.ones((3, 4), dtype=np.float16)
    z[1, 2] = np.inf
    with pytest.raises(DataError, match="embeddings of node 0 or 1 are not finite"):
        respread(graph, labels, LabelConfig(), embeddings=z)
