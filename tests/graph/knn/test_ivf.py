"""The lists against exact search: recall, shards, thresholds, threads."""

from pathlib import Path
from unittest import mock

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.config.graph import KnnConfig
from graphrise.graph.knn import ivf
from graphrise.graph.knn import search as knn_search
from graphrise.graph.knn.edges import knn_edges
from graphrise.graph.knn.space import Space


def clustered(num_nodes, width=16, clusters=60, seed=0):
    random = np.random.default_rng(seed)
    centres = random.normal(size=(clusters, width))
    vectors = centres[random.integers(clusters, size=num_nodes)]
    return (vectors + 0.35 * random.normal(size=vectors.shape)).astype(np.float32)


def edges(folder, vectors, **config):
    """Edges {(source, target): weight} in order, and the summary."""
    folder.mkdir(exist_ok=True)
    files, summary = knn_edges(
        vectors, KnnConfig(**{"top_k": 5, "exact_up_to": 50, **config}), folder
    )
    assert sorted(p.name for p in folder.iterdir()) == [p.name for p in files]
    table = pa.concat_tables([pq.read_table(file) for file in files])
    source, target, weight = (table.column(n).to_pylist() for n in ("source", "target", "weight"))
    assert source == sorted(source)
    return dict(zip(zip(source, target, strict=True), weight, strict=True)), summary


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("recall", [0.8, 0.97])
def test_reaches_the_recall(tmp_path, monkeypatch, metric, recall):
    monkeypatch.setattr(ivf, "SAMPLE", 300)
    vectors = clustered(2000)
    found, summary = edges(tmp_path, vectors, metric=metric, recall=recall)
    exact, _ = edges(tmp_path, vectors, metric=metric, exact_up_to=2000)
    assert summary["index"] == "ivf"
    assert summary["lists"] == int(4 * 2000**0.5)
    assert 1 <= summary["probes"] < summary["lists"] / 2
    assert summary["recall_sample"] == 300
    assert summary["recall"] >= recall
    true = len(found.keys() & exact.keys()) / len(exact)
    assert true >= recall
    assert abs(true - summary["recall"]) < 0.03
    assert all(found[pair] == exact[pair] for pair in found.keys() & exact.keys())
    assert len(found) > 0.99 * len(exact)


def test_more_recall_takes_more_lists(tmp_path):
    vectors = clustered(1000)
    probes = [edges(tmp_path, vectors, recall=r)[1]["probes"] for r in (0.5, 0.9, 0.99)]
    assert probes == sorted(set(probes))


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_all_lists_are_exact(tmp_path, metric):
    vectors = clustered(700, width=3)
    vectors[350:] = vectors[:350]
    found, summary = edges(tmp_path, vectors, metric=metric, recall=1.0)
    exact, _ = edges(tmp_path, vectors, metric=metric, exact_up_to=700)
    assert summary["probes"] == summary["lists"]
    assert summary["recall"] == 1.0
    assert {v for pair, v in found.items()} == {v for pair, v in exact.items()}
    assert len(found.keys() & exact.keys()) > 0.9 * len(exact)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("threshold", [None, 0.8])
def test_shards_change_nothing(tmp_path, monkeypatch, metric, threshold):
    monkeypatch.setattr(ivf, "QUERIES", 256)
    vectors = clustered(600)
    config = {"metric": metric, "threshold": threshold, "recall": 0.9}
    whole, summary = edges(tmp_path, vectors, **config)
    for block in (599, 250):
        found, of_shards = edges(tmp_path, vectors, block=block, **config)
        assert list(found.items()) == list(whole.items())
        assert of_shards == summary


def test_a_threshold_cuts_the_nearest(tmp_path):
    vectors = clustered(1000)
    kept, summary = edges(tmp_path, vectors, threshold=0.93, recall=0.95)
    exact, _ = edges(tmp_path, vectors, threshold=0.93, exact_up_to=1000)
    assert 0 < len(exact) < 4000
    assert min(kept.values()) >= np.float32(0.93)
    assert len(kept.keys() & exact.keys()) >= 0.95 * len(exact)
    assert summary["recall"] >= 0.95


def test_a_threshold_that_nothing_reaches(tmp_path):
    found, summary = edges(tmp_path, clustered(300), threshold=1.0)
    assert found == {}
    assert (summary["probes"], summary["recall"]) == (1, 1.0)


@given(
    st.integers(2, 40), st.integers(1, 3), st.sampled_from([1, 4, 100]), st.sampled_from([3, 99])
)
@settings(max_examples=10, deadline=None)
def test_few_nodes(tmp_path_factory, num_nodes, width, top_k, block):
    vectors = np.random.default_rng(num_nodes).normal(size=(num_nodes, width))
    folder = tmp_path_factory.mktemp("few")
    config = {"metric": "l2", "top_k": top_k, "block": block, "recall": 1.0}
    found, summary = edges(folder, vectors, exact_up_to=1, **config)
    exact, _ = edges(folder, vectors, exact_up_to=100, **config)
    assert summary["index"] == "ivf"
    assert list(found.items()) == list(exact.items())


def test_equal_vectors(tmp_path):
    found, summary = edges(tmp_path, np.ones((500, 4)), top_k=3)
    assert summary["recall"] == 1.0
    assert len(found) == 1500
    assert set(found.values()) == {1.0}
    assert all(a != b for a, b in found)


def test_threads_change_nothing(tmp_path):
    vectors = clustered(1500, seed=3)
    results = []
    threads = faiss.omp_get_max_threads()
    try:
        for number in (1, 2, 3):
            faiss.omp_set_num_threads(number)
            found, summary = edges(tmp_path, vectors, recall=0.9)
            results.append((list(found.items()), summary))
    finally:
        faiss.omp_set_num_threads(threads)
    assert results[0] == results[1] == results[2]


def test_probes_are_the_fewest_that_reach_the_recall():
    vectors = clustered(1500)
    space = Space(vectors, "cosine")
    index = ivf.train(space, np.random.default_rng(0))
    home = index.quantizer.search(space.read(np.arange(1500)), 1)[1][:, 0]
    sample = np.arange(0, 1500, 25)
    truth = np.argsort(-vectors @ vectors.T, axis=1)  # any neighbours will do
    found = truth[sample, 1:5]
    order = index.quantizer.search(space.read(sample), index.nlist)[1]
    rank = [[list(o).index(home[j]) for j in row] for o, row in zip(order, found, strict=True)]
    share = [float((np.array(rank) < p).mean()) for p in range(index.nlist + 1)]
    per_node = [
        (np.array(rank) < p).mean(axis=1).std() / len(sample) ** 0.5 for p in range(index.nlist + 1)
    ]
    more = 0
    for recall in np.linspace(0.3, 0.99, 100):
        fewest = next(p for p, s in enumerate(share) if s >= recall)
        # The sample's standard error on top.
        asked = next(p for p, s in enumerate(share) if s >= min(1, recall + per_node[fewest]))
        assert ivf.probes_for(space, index, sample, found, recall) == asked
        more += asked > fewest
    assert more > 0


def test_recall_is_measured_on_other_nodes(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(ivf, "_recall", lambda truth, ours: seen.append((truth, ours)) or 0.5)
    probes, tuned = ivf.probes_for, []
    monkeypatch.setattr(ivf, "probes_for", lambda *given: tuned.append(given[2]) or probes(*given))
    _, summary = edges(tmp_path, clustered(101), recall=0.9)
    assert (summary["recall"], summary["recall_sample"]) == (0.5, 50)
    assert len(tuned[0]) == 51
    assert seen[0][0].shape == seen[0][1].shape == (50, 5)


def test_samples_are_seeded(tmp_path, monkeypatch):
    monkeypatch.setattr(ivf, "SAMPLE", 30)
    monkeypatch.setattr(ivf, "_PER_LIST", 3)
    first, again = (edges(tmp_path, clustered(800), recall=0.7) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_centres_are_as_long_as_the_vectors(metric):
    index = ivf.train(Space(clustered(500), metric), np.random.default_rng(0))
    centres = index.quantizer.reconstruct_n(0, index.nlist)
    length = np.linalg.norm(centres, axis=1)
    assert (np.abs(length - 1).max() < 1e-5) == (metric == "cosine")


class FakeGpu:
    """What FAISS has on a machine with GPUs; its GPU indexes are the CPU ones."""

    def __init__(self, gpus):
        self.moved = []
        self.patch = mock.patch.multiple(
            faiss,
            create=True,
            get_num_gpus=lambda: gpus,
            StandardGpuResources=lambda: "resources",
            index_cpu_to_gpu=lambda *given: self.moved.append(given) or given[2],
        )


@pytest.mark.parametrize("gpus", [0, 1])
def test_indexes_go_to_the_gpu(tmp_path, gpus):
    vectors = clustered(400)
    fake = FakeGpu(gpus)
    with fake.patch:
        found, _ = edges(tmp_path, vectors)
    assert found == edges(tmp_path, vectors)[0]
    kinds = [(r, device, type(index)) for r, device, index in fake.moved]
    flat = ("resources", 0, faiss.IndexFlatIP)
    assert kinds == ([flat, flat, ("resources", 0, faiss.IndexIVFFlat)] if gpus else [])


def test_an_exact_search_goes_to_the_gpu_unless_it_finds_too_many(tmp_path):
    fake = FakeGpu(1)
    with fake.patch, mock.patch.object(knn_search, "_GPU_LIMIT", 12):
        edges(tmp_path, clustered(100), metric="l2", top_k=7, exact_up_to=100)
        edges(tmp_path, clustered(100), metric="l2", top_k=8, exact_up_to=100)
    assert [type(index) for _, _, index in fake.moved] == [faiss.IndexFlatL2]


def test_more_lists_than_a_gpu_ranks_stay_on_the_cpu(tmp_path):
    fake = FakeGpu(1)
    with fake.patch, mock.patch.object(knn_search, "_GPU_LIMIT", 10):
        edges(tmp_path, clustered(400), top_k=1, recall=1.0)
    assert faiss.IndexIVFFlat not in [type(index) for _, _, index in fake.moved]


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("product", [1, 40, 1 << 21])
def test_batches_find_what_the_index_finds(monkeypatch, metric, product):
    monkeypatch.setattr(knn_search, "_PRODUCT", product)
    space = Space(clustered(600), metric)
    index = ivf.train(space, np.random.default_rng(0))
    space.fill(index, 0, 300)
    index.nprobe = 2
    queries = space.read(np.arange(200, 600))
    found = knn_search._batch_search(index, queries, 60)
    expected = index.search(queries, 60)[1]
    assert (expected < 0).any()
    np.testing.assert_array_equal(np.sort(found), np.sort(expected))


def test_display_rises_to_1(tmp_path, monkeypatch):
    monkeypatch.setattr(ivf, "QUERIES", 100)
    seen = []
    config = KnnConfig(top_k=2, exact_up_to=1, block=250)
    knn_edges(clustered(300), config, Path(tmp_path), display=seen.append)
    np.testing.assert_allclose(seen, np.arange(1, 7) / 6)
