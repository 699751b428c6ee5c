"""The kNN benchmark at toy size: what its rows claim."""

import math
import multiprocessing

import numpy as np
import pytest

from benchmarks import knn


def test_points_are_seeded():
    first, again, other = (knn.points(50, 3, 5, 0.5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    assert (first != other).all()


def test_exact_is_held_against_both_loops():
    rows = knn.exact(repetitions=2, nodes=400, dims=8, k=3)
    assert [row.baseline for row in rows] == ["torch matmul + topk, 1024 x 16384", "faiss.knn"]
    assert all(len(row.values) == len(row.baseline_values) == 2 for row in rows)
    assert all(min(*row.values, *row.baseline_values) > 0 for row in rows)


@pytest.fixture
def same_process(monkeypatch):
    def run(*given):
        end, start = multiprocessing.Pipe(duplex=False)
        knn._child(start, *given)
        return end.recv()

    monkeypatch.setattr(knn, "_in_child", run)


@pytest.mark.usefixtures("same_process")
def test_lists_are_held_against_exact_search(tmp_path):
    time, recall = knn.ivf(tmp_path / "out", 2, nodes=900, dims=8, k=3, sample=100)
    assert "IVF" in time.variant
    assert len(time.values) == 2
    assert not time.higher_is_better
    assert 95 < recall.values[0] <= 100
    assert recall.baseline_values == [99.0]
    assert list((tmp_path / "out").iterdir()) == []


def test_shared_counts_true_neighbours_once():
    truth = np.array([[3, 4], [5, -1]])
    row, node = np.array([0, 0, 1, 1]), np.array([4, 9, 5, 3])
    assert knn._shared(truth, row, node) == 2 / 3


@pytest.mark.parametrize("python", [None, "nowhere"])
def test_a_missing_peer_is_said(tmp_path, python):
    rows = knn.nsl(python and tmp_path / python, nodes=300)
    assert [row.metric for row in rows] == ["time", "edges"]
    for row in rows:
        assert "MISSING" in row.baseline
        assert math.isnan(row.baseline_values[0])
        assert math.isnan(row.ratio)


def test_edges_that_differ():
    angles = np.array([0.0, math.acos(0.7), -math.acos(0.7 + 5e-7), math.acos(0.8)])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ours, theirs = {(0, 1), (0, 3), (1, 3)}, {(0, 2), (1, 3)}
    assert knn.differing(ours, theirs, vectors, 0.7) == (1, 2)
    assert knn.differing(ours, ours, vectors, 0.7) == (0, 0)
