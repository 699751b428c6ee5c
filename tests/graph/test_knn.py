"""kNN edges against plain numpy: the same pairs in the same order, whatever the blocks."""

from contextlib import contextmanager, nullcontext
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from graphrise.config.graph import KnnConfig
from graphrise.errors import DataError
from graphrise.graph import knn, knn_scan, knn_space, store
from graphrise.graph.knn import knn_edges


def plain_edges(vectors, config):
    """(source, target, weight) in order, and how many were dropped; float64, rounded last."""
    x = np.asarray(vectors, dtype=np.float64)
    if config.metric == "cosine":
        # vecdot as one rounding: a matrix product of equal rows need not give equal numbers.
        squared = np.vecdot(x, x)
        scores = np.array([np.vecdot(row, x) / np.sqrt(np.vecdot(row, row) * squared) for row in x])
    else:
        scores = -np.array([np.sqrt(np.vecdot(x - row, x - row)) for row in x])
    scores = scores.astype(np.float32)
    limit = -np.inf
    if config.threshold is not None:
        limit = np.float32(config.threshold if config.metric == "cosine" else -config.threshold)
    edges, dropped = [], 0
    for i, row in enumerate(scores):
        order = np.lexsort((np.arange(row.size), -row))
        order = order[(order != i) & (row[order] >= limit)][: config.top_k]
        score = row[order]
        weight = score if config.metric == "cosine" else 1 / (1 - score.astype(np.float64))
        weight = weight.astype(np.float32)
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


@contextmanager
def small_blocks():
    """Block sizes that make many blocks of a few nodes."""
    with (
        mock.patch.multiple(knn_scan, TILE_ROWS=4, SEED_ROWS=3, GROUP=3),
        mock.patch.multiple(knn, QUERIES=5, TOGETHER=2, EDGES_PER_PART=9),
        mock.patch.multiple(knn_space, TILE_SCORES=20, _READ=3, _GATHER=7),
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
    with small_blocks() if small else nullcontext():
        assert_plain(folder, vectors, config)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_larger_than_a_tile(tmp_path, metric):
    random = np.random.default_rng(0)
    vectors = random.normal(size=(2200, 20)).astype(np.float32)
    vectors[2070:2170] = vectors[:100]
    config = KnnConfig(metric=metric, top_k=6)
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
    monkeypatch.setattr(knn, "QUERIES", 10)
    vectors = np.random.default_rng(3).normal(size=(100, 4))
    files, _ = knn_edges(vectors, KnnConfig(metric="l2", top_k=3), tmp_path)
    assert [file.name for file in files] == [f"knn-0000{n}.parquet" for n in range(3)]
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
    of = {}
    for source, target, weight in found:
        of.setdefault(source, []).append((target, weight))
    assert of[0] == [(2, 1.0), (4, 1.0), (6, 1.0)]
    assert of[4] == [(0, 1.0), (2, 1.0), (6, 1.0)]
    assert of[2198] == [(0, 1.0), (2, 1.0), (4, 1.0)]


def scored(monkeypatch, space, scan):
    """How many pairs each call compared exactly."""
    seen = mock.Mock(wraps=space.scores)
    with monkeypatch.context() as patch:
        patch.setattr(space, "scores", seen)
        scan()
    return [call.args[0].size for call in seen.call_args_list]


def test_equal_vectors_end_the_search(monkeypatch):
    space = knn_space.Space(np.ones((50, 2), dtype=np.float32), "cosine")
    one = knn_scan.Nearest(space, np.arange(5), 3, -np.inf)
    knn_scan.scan_all([one], knn_scan.Galleries(space, 50))
    more = [(space.gallery(0, 50), torch.arange(50))]
    assert scored(monkeypatch, space, lambda: knn_scan.scan_all([one], more)) == [0]


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_few_pairs_are_compared_exactly(monkeypatch, metric):
    vectors = np.random.default_rng(7).normal(size=(8000, 30)).astype(np.float32)
    space = knn_space.Space(vectors, metric)
    nodes, k = np.arange(40), 5
    gallery = space.gallery(0, 8000), torch.arange(8000)

    def scan(one):
        one.scan(gallery)
        one.rank()

    plain, seeded = (knn_scan.Nearest(space, nodes, k, -np.inf) for _ in range(2))
    of_plain = scored(monkeypatch, space, lambda: scan(plain))
    # Without a seed all of the first tile is; then what was found rules out most.
    assert 40 * 2047 <= of_plain[0] <= 40 * 2048
    assert sum(of_plain[1:]) < 40 * 4 * k
    seeded.seed(gallery[0][:2000])
    floor = seeded._floor.clone()
    assert sum(scored(monkeypatch, space, lambda: scan(seeded))) < 40 * 6 * k
    assert (seeded._floor >= floor).all()
    np.testing.assert_array_equal(seeded.found, plain.found)


def test_order():
    query = np.array([1, 0, 1, 0, 1, 1])
    score = np.array([0.0, -2.0, -0.0, 3.0, 1.0, -1.0], dtype=np.float32)
    node = np.array([9, 1, 4, 2, 7, 3])
    assert knn_scan.in_order(query, score, node).tolist() == [3, 1, 4, 2, 0, 5]
    swapped = np.array([4, 1, 9, 2, 7, 3])
    assert knn_scan.in_order(query, score, swapped).tolist() == [3, 1, 4, 0, 2, 5]


def test_rounding_hides_no_neighbour(tmp_path):
    """Neighbours closer together than a float32 product can tell apart."""
    random = np.random.default_rng(6)
    base = random.normal(size=(1, 300))
    vectors = (base + 1e-4 * random.normal(size=(300, 300))).astype(np.float32)
    for metric in ("cosine", "l2"):
        assert_plain(tmp_path, vectors, KnnConfig(metric=metric, top_k=3))
    far = (1000 + random.normal(size=(300, 30))).astype(np.float32)
    assert_plain(tmp_path, far, KnnConfig(metric="l2", top_k=3))
    far[7] = 1e9
    assert_plain(tmp_path, far, KnnConfig(metric="l2", top_k=3))


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("spread", [1e-4, 1.0, 1e4])
def test_products_promise_no_more_than_they_keep(metric, spread):
    random = np.random.default_rng(8)
    vectors = random.normal(size=300) + spread * random.normal(size=(400, 300))
    vectors[200:] = vectors[:200] + 1e-6 * random.normal(size=(200, 300))
    space = knn_space.Space(vectors.astype(np.float32), metric)
    read = space.read(np.arange(400))
    product = space.product(space.as_gallery(read), space.as_queries(read)).T.flatten()
    source, target = np.divmod(np.arange(400 * 400), 400)
    score = torch.from_numpy(space.scores(source, target))
    queries = read[source]
    assert (space.floor(queries, score) <= product).all()
    assert (space.promised(queries, product) <= score).all()


def test_l2_is_centred_and_scaled():
    vectors = np.random.default_rng(9).normal(1000, 50, size=(5000, 4))
    read = knn_space.Space(vectors, "l2").read(np.arange(5000)).numpy()
    assert np.abs(read.mean(axis=0)).max() < 0.05
    assert abs(np.square(read).sum(axis=1).mean() - 1) < 0.05


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
    monkeypatch.setattr(knn, "QUERIES", 4)
    monkeypatch.setattr(knn, "TOGETHER", 2)
    for block, expected in ((19, [0.4, 0.8, 1.0]), (20, [0.2, 0.4, 0.6, 0.8, 1.0])):
        for config in (
            KnnConfig(top_k=1, block=block),
            KnnConfig(threshold=0.5, top_k=None, block=block),
        ):
            seen = []
            knn_edges(np.eye(20) + 1, config, tmp_path, display=seen.append)
            assert seen == expected
