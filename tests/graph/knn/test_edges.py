"""kNN edges against plain numpy: the same pairs in the same order, whatever the blocks."""

from contextlib import contextmanager, nullcontext
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from graphrise.config.graph import KnnConfig
from graphrise.errors import DataError
from graphrise.graph import store
from graphrise.graph.knn import edges as knn
from graphrise.graph.knn import search as knn_search
from graphrise.graph.knn import space as knn_space
from graphrise.graph.knn.edges import knn_edges


def plain_scores(vectors, metric):
    """All pairs, `[N, N]`: float64, rounded last."""
    x = np.asarray(vectors, dtype=np.float64)
    if metric == "cosine":
        # vecdot as one rounding: a matrix product of equal rows need not give equal numbers.
        squared = np.vecdot(x, x)
        scores = [np.vecdot(row, x) / np.sqrt(np.vecdot(row, row) * squared) for row in x]
    else:
        scores = [-np.sqrt(np.vecdot(x - row, x - row)) for row in x]
    return np.array(scores).astype(np.float32)


def limit_of(config):
    if config.threshold is None:
        return -np.inf
    return np.float32(config.threshold if config.metric == "cosine" else -config.threshold)


def weight_of(score, metric):
    weight = score if metric == "cosine" else 1 / (1 - score.astype(np.float64))
    return weight.astype(np.float32)


def plain_edges(vectors, config):
    """(source, target, weight) in order, and how many were dropped."""
    edges, dropped = [], 0
    for i, row in enumerate(plain_scores(vectors, config.metric)):
        order = np.lexsort((np.arange(row.size), -row))
        order = order[(order != i) & (row[order] >= limit_of(config))][: config.top_k]
        weight = weight_of(row[order], config.metric)
        dropped += int((weight <= 0).sum())
        edges += [(i, j, w) for j, w in zip(order, weight, strict=True) if w > 0]
    return edges, dropped


def found_edges(folder, vectors, config):
    folder.mkdir(exist_ok=True)
    files, summary = knn_edges(vectors, config, folder)
    assert sorted(p.name for p in folder.iterdir()) == [p.name for p in files]
    table = pa.concat_tables([pq.read_table(file) for file in files])
    columns = [table.column(name).to_numpy() for name in ("source", "target", "weight")]
    assert columns[2].dtype == np.float32
    return list(zip(*columns, strict=True)), summary


def assert_plain(folder, vectors, config):
    found, summary = found_edges(folder, vectors, config)
    expected, dropped = plain_edges(vectors, config)
    assert [e[:2] for e in found] == [e[:2] for e in expected]
    np.testing.assert_array_equal([e[2] for e in found], [e[2] for e in expected])
    assert summary["edges_dropped_not_positive"] == dropped
    assert summary["index"] == "exact"
    assert summary["metric"] == config.metric
    return found


def surely_above(scores, worst, vectors, metric):
    """Scores that float32 products, at their worst, still rank above one."""
    x = np.asarray(vectors, dtype=np.float64)
    slack = 2 * (x.shape[1] + 16) * 2.0**-24
    if metric == "cosine":
        return scores > worst + slack
    farthest = np.linalg.norm(x - np.median(x, axis=0), axis=1).max()
    squared = scores.astype(np.float64) ** 2
    return squared < np.float64(worst) ** 2 - slack * 4 * farthest**2


def assert_nearest(folder, vectors, config):
    """Exact weights in order, and no neighbour missing that float32 tells from the k-th."""
    found, summary = found_edges(folder, vectors, config)
    expected, dropped = plain_edges(vectors, config)
    assert summary["edges_dropped_not_positive"] == dropped
    scores = plain_scores(vectors, config.metric)
    for i, row in enumerate(scores):
        targets = np.array([b for a, b, _ in found if a == i], dtype=int)
        weights = np.array([w for a, _, w in found if a == i], dtype=np.float32)
        assert targets.size == sum(a == i for a, _, _ in expected)
        assert i not in targets
        assert len({*targets}) == targets.size
        np.testing.assert_array_equal(weights, weight_of(row[targets], config.metric))
        order = np.lexsort((targets, -row[targets]))
        np.testing.assert_array_equal(order, np.arange(targets.size))
        others = np.sort(np.delete(row, i))[::-1]
        if others.size:
            worst = np.maximum(limit_of(config), others[: config.top_k][-1])
            sure = surely_above(row, worst, vectors, config.metric)
            sure &= (np.arange(row.size) != i) & (weight_of(row, config.metric) > 0)
            assert {*np.flatnonzero(sure)} <= {*targets}
            assert not surely_above(worst, row[targets], vectors, config.metric).any()


@contextmanager
def small_blocks():
    """Sets of a few nodes."""
    with (
        mock.patch.multiple(knn, QUERIES=5, TOGETHER=2, EDGES_PER_PART=9),
        mock.patch.object(knn_search.Nearest.search, "__defaults__", (4,)),
        mock.patch.multiple(knn_space, _READ=3, _GATHER=7),
    ):
        yield


@st.composite
def cases(draw):
    num_nodes, width = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    vectors = random.normal(size=(num_nodes, width)) * draw(st.sampled_from([1.0, 1e-12, 1e12]))
    vectors += draw(st.sampled_from([0.0, 100.0])) * (width > 1)
    if draw(st.booleans()):
        # Duplicates, of which many share the k-th place.
        vectors = vectors[random.integers(0, max(1, num_nodes // 4), num_nodes)]
    vectors = vectors.astype(draw(st.sampled_from([np.float32, np.float64])))
    metric = draw(st.sampled_from(["cosine", "l2"]))
    spread = float(np.sqrt(np.square(vectors - vectors.mean(axis=0)).sum(axis=1).mean()))
    limits = [-1.0, -0.3, 0.0, 0.4, 1.0] if metric == "cosine" else [0.0, spread, 2 * spread]
    top_k = draw(st.sampled_from([None, 1, 2, 5, 60]))
    threshold = draw(st.sampled_from(limits if top_k is None else [None, *limits]))
    block = draw(st.sampled_from([1, 7, 16, 10_000]))
    return vectors, KnnConfig(metric=metric, top_k=top_k, threshold=threshold, block=block)


@given(cases(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_equals_plain_numpy(tmp_path_factory, case, small):
    vectors, config = case
    assume(np.square(vectors.astype(np.float64)).sum(axis=1).min() > 0)
    folder = tmp_path_factory.mktemp("knn")
    check = assert_plain if config.top_k is None else assert_nearest
    with small_blocks() if small else nullcontext():
        check(folder, vectors, config)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("block", [600, 2200])
def test_distinct_scores_give_the_same_edges(tmp_path, metric, block):
    random = np.random.default_rng(0)
    vectors = random.normal(size=(2200, 20)).astype(np.float32)
    vectors[2070:2170] = vectors[:100]
    config = KnnConfig(metric=metric, top_k=6, block=block)
    found = assert_plain(tmp_path, vectors, config)
    assert len(found) == 2200 * 6


def test_every_pair_above_a_threshold(tmp_path):
    random = np.random.default_rng(1)
    vectors = (random.normal(size=(1500, 16)) + 2 * random.normal(size=16)).astype(np.float32)
    config = KnnConfig(top_k=None, threshold=0.9, exact_up_to=10, block=600)
    found = assert_plain(tmp_path, vectors, config)
    assert 1000 < len(found) < 1500**2 / 4
    assert {(b, a) for a, b, _ in found} == {(a, b) for a, b, _ in found}


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("kind", ["float16", "strided", "transposed", "mapped"])
def test_any_array(tmp_path, metric, kind):
    values = np.random.default_rng(2).normal(size=(30, 6)).astype(np.float32)
    if kind == "float16":
        vectors = values.astype(np.float16)
    elif kind == "strided":
        vectors = values[::2, ::3]
    elif kind == "transposed":
        vectors = values.T
    else:
        np.save(tmp_path / "v.npy", values)
        vectors = np.load(tmp_path / "v.npy", mmap_mode="r")
    assert_plain(tmp_path / "edges", vectors, KnnConfig(metric=metric, top_k=4, block=11))


@pytest.mark.parametrize("limit", [2**31, 5])
def test_id_type(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(store, "ID_LIMIT", limit)
    files, _ = knn_edges(np.eye(5) + 1, KnnConfig(top_k=1), tmp_path)
    schema = pq.read_schema(files[0])
    assert [schema.field(n).type for n in ("source", "target", "weight")] == [
        *[pa.int32() if limit > 5 else pa.int64()] * 2,
        pa.float32(),
    ]


def test_parts_follow_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(knn, "EDGES_PER_PART", 100)
    vectors = np.random.default_rng(3).normal(size=(100, 4))
    files, _ = knn_edges(vectors, KnnConfig(metric="l2", top_k=3), tmp_path)
    assert [file.name for file in files] == [f"knn-0000{n}.parquet" for n in range(2)]
    sources = np.concatenate([pq.read_table(f).column("source").to_numpy() for f in files])
    np.testing.assert_array_equal(sources, np.repeat(np.arange(100), 3))


@pytest.mark.parametrize(
    ("num_nodes", "config"),
    [
        (1, KnnConfig(top_k=2)),
        (1, KnnConfig(top_k=None, threshold=0.9)),
        (3, KnnConfig(top_k=None, threshold=0.9)),
        (3, KnnConfig(top_k=2, threshold=1.0)),
    ],
)
def test_no_edges_are_one_empty_file(tmp_path, num_nodes, config):
    files, summary = knn_edges(np.eye(3)[:num_nodes], config, tmp_path)
    assert [pq.read_metadata(file).num_rows for file in files] == [0]
    assert summary["edges_dropped_not_positive"] == 0


def test_weights(tmp_path):
    vectors = np.array([[0.0, 3.0], [4.0, 0.0], [0.0, 3.0], [0.0, -3.0]])
    near, _ = found_edges(tmp_path, vectors[:3], KnnConfig(metric="l2", top_k=2))
    assert near[:2] == [(0, 2, 1.0), (0, 1, np.float32(1 / 6))]
    cosine, summary = found_edges(tmp_path, vectors, KnnConfig(top_k=3))
    assert cosine == [(0, 2, 1.0), (2, 0, 1.0)]
    assert summary["edges_dropped_not_positive"] == 10


def test_both_directions_weigh_the_same(tmp_path):
    vectors = np.random.default_rng(4).normal(size=(400, 37)).astype(np.float32)
    for metric in ("cosine", "l2"):
        found, _ = found_edges(tmp_path, vectors, KnnConfig(metric=metric, top_k=20))
        weight = {(a, b): w for a, b, w in found}
        both = [(w, weight[b, a]) for (a, b), w in weight.items() if (b, a) in weight]
        assert len(both) > 1000
        assert all(one == other for one, other in both)


def test_thousands_of_equal_vectors(tmp_path):
    vectors = np.random.default_rng(5).normal(size=(2200, 8)).astype(np.float32)
    vectors[::2] = vectors[0]
    found, _ = found_edges(tmp_path, vectors, KnnConfig(top_k=3))
    assert len(found) == 6600
    copies = {(a, b): w for a, b, w in found if a % 2 == 0}
    assert len(copies) == 3300
    assert set(copies.values()) == {1.0}
    assert all(b % 2 == 0 and a != b for a, b in copies)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_spare_candidates_are_told_apart_exactly(tmp_path, metric):
    """Neighbours closer together than a float32 product can tell apart."""
    random = np.random.default_rng(6)
    size = 3 + knn_search.SPARE
    vectors = random.normal(size=(1, 300)) + 1e-4 * random.normal(size=(size, 300))
    if metric == "l2":
        # The median would tell all of them apart.
        vectors = np.concatenate((vectors, -vectors + 1e-4 * random.normal(size=(size, 300))))
    assert_plain(tmp_path, vectors, KnnConfig(metric=metric, top_k=2))


def test_one_vector_far_away_changes_nothing(tmp_path):
    vectors = (1000 + np.random.default_rng(6).normal(size=(300, 30))).astype(np.float32)
    config = KnnConfig(metric="l2", top_k=3)
    assert_plain(tmp_path, vectors, config)
    vectors[7] = 1e9
    found, _ = found_edges(tmp_path, vectors, config)
    expected, _ = plain_edges(vectors, config)
    assert [e for e in found if e[0] != 7] == [e for e in expected if e[0] != 7]


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("spread", [1e-4, 1.0, 1e4])
def test_rounding_hides_no_pair(metric, spread):
    random = np.random.default_rng(8)
    vectors = random.normal(size=300) + spread * random.normal(size=(400, 300))
    vectors[200:] = vectors[:200] + 1e-6 * random.normal(size=(200, 300))
    vectors[0] *= 1e4
    space = knn_space.Space(vectors.astype(np.float32), metric)
    nodes = np.arange(400)
    gallery, scores = space.lifted(nodes), plain_scores(space.vectors, metric)
    for at_least in np.quantile(scores[10], (0, 0.5, 0.99, 1)):
        product = space.lifted_queries(nodes, float(at_least)) @ gallery.T
        assert (product[scores >= at_least] > 0).all()


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_few_pairs_beyond_the_threshold_are_scored(tmp_path, monkeypatch, metric):
    vectors = np.random.default_rng(7).normal(size=(1000, 30)).astype(np.float32)
    vectors[7] *= 1e3
    threshold = 0.5 if metric == "cosine" else 5.0
    seen = []
    scores = knn_space.Space.scores
    monkeypatch.setattr(
        knn_space.Space, "scores", lambda *given: seen.append(given[1].size) or scores(*given)
    )
    found, _ = found_edges(
        tmp_path, vectors, KnnConfig(metric=metric, top_k=None, threshold=threshold)
    )
    assert len(found) > 500
    # All nodes find themselves; the far one is compared with many.
    assert len(found) + 1000 <= sum(seen) < len(found) + 1000 + 20


def test_parts_are_even():
    parts = knn_space.even(100, 30)
    assert [part.stop - part.start for part in parts] == [25, 25, 25, 25]
    assert np.concatenate([np.arange(100)[part] for part in parts]).tolist() == [*range(100)]
    assert [part.stop - part.start for part in knn_space.even(10, 3)] == [2, 3, 2, 3]
    assert knn_space.even(0, 3) == [slice(0, 0)]


def test_l2_is_centred_and_scaled():
    vectors = np.random.default_rng(9).normal(1000, 50, size=(5000, 4))
    read = knn_space.Space(vectors, "l2").read(np.arange(5000))
    assert np.abs(np.median(read, axis=0)).max() < 0.05
    assert abs(np.median(np.linalg.norm(read, axis=1)) - 1) < 0.05


def test_wrong_vectors_are_named(tmp_path):
    vectors = np.ones((6, 2))
    vectors[4] = 0
    with pytest.raises(DataError, match=r"node 4 is all zeros.*graph.splits"):
        knn_edges(vectors, KnnConfig(top_k=1), tmp_path)
    knn_edges(vectors, KnnConfig(top_k=1, metric="l2"), tmp_path)
    vectors = np.random.default_rng(0).normal(size=(4100, 1))
    vectors[4099] = 1e19
    with pytest.raises(DataError, match="node 4099 is too far"):
        knn_edges(vectors, KnnConfig(top_k=1, metric="l2"), tmp_path)


def test_display_ends_at_1(tmp_path, monkeypatch):
    def shown(**config):
        seen = []
        knn_edges(np.eye(20) + 1, KnnConfig(**config), tmp_path, display=seen.append)
        return seen

    monkeypatch.setattr(knn, "QUERIES", 4)
    monkeypatch.setattr(knn, "TOGETHER", 2)
    monkeypatch.setattr(knn_search.Nearest.search, "__defaults__", (5,))
    pairs = {"threshold": 0.5, "top_k": None}
    np.testing.assert_allclose(shown(**pairs), np.arange(1, 6) / 5)
    np.testing.assert_allclose(shown(**pairs, block=19), [0.3, 0.65, 1])
    np.testing.assert_allclose(shown(top_k=1), np.arange(1, 5) / 4)
    np.testing.assert_allclose(shown(top_k=1, block=19), np.arange(1, 9) / 8)
