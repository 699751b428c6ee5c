"""NMI and AMI of k-means."""

import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

from graphrise.errors import ConfigError, DataError, GraphriseError
from graphrise.evaluate.clustering import cluster_agreement, kmeans


def blobs(sizes, spread, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.normal(size=(len(sizes), dim))[labels] + spread * rng.normal(size=(len(labels), dim))
    return x, labels


def test_separate_blobs_are_found():
    x, labels = blobs([30, 20, 1, 40], 0.01)
    found = cluster_agreement(x, labels * 7)
    assert (found.nmi, found.ami) == pytest.approx((1, 1))
    assert (found.clusters, found.scored, found.left_out) == (4, 91, 0)


@pytest.mark.parametrize("sizes", [[25] * 6, [1, 50, 30, 2], [60, 60]])
def test_equal_to_pytorch_metric_learning(sizes):
    x, labels = blobs(sizes, 1.5)
    found = cluster_agreement(x, labels, restarts=2, seed=3)

    def theirs(query, count):
        return torch.from_numpy(kmeans(query.numpy(), count, restarts=2, seed=3))

    judge = AccuracyCalculator(
        include=("NMI", "AMI"), device=torch.device("cpu"), kmeans_func=theirs
    )
    query = torch.from_numpy(x.astype(np.float32))
    want = judge.get_accuracy(query, torch.from_numpy(labels))
    assert (found.nmi, found.ami) == pytest.approx((want["NMI"], want["AMI"]))
    assert found.ami < found.nmi < 1


def entropy(counts):
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


@settings(max_examples=200, deadline=None)
@given(
    labels=st.lists(st.integers(-1, 4), min_size=1, max_size=20),
    seed=st.integers(0, 99),
)
def test_equal_to_scikit_learn(labels, seed):
    labels = np.array(labels)
    # Few places on a grid: copies, and clusters that could be drawn in several ways.
    x = np.random.default_rng(seed).integers(0, 4, (len(labels), 2)).astype(np.float32)
    known = labels != -1
    if not known.any():
        with pytest.raises(DataError, match="labels are unknown"):
            cluster_agreement(x, labels)
        return
    found = cluster_agreement(x, labels, restarts=1, seed=seed)
    assert found.clusters == len(set(labels[known].tolist()))
    assigned = kmeans(x[known], found.clusters, restarts=1, seed=seed)
    given_labels = labels[known]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes is greater")
        assert found.nmi == pytest.approx(normalized_mutual_info_score(given_labels, assigned))
        assert found.ami == pytest.approx(adjusted_mutual_info_score(given_labels, assigned))
    # And NMI from its definition.
    table = np.zeros((5, found.clusters))
    np.add.at(table, (given_labels, assigned), 1)
    apart = entropy(table.sum(0)) + entropy(table.sum(1))
    shared = apart - entropy(table.ravel())
    assert found.nmi == pytest.approx(2 * shared / apart if apart else 1, abs=1e-9)


def test_unknown_labels_are_left_out_before_clustering():
    x, labels = blobs([30, 20, 40], 0.01)
    far = np.concatenate((x, 50 + np.random.default_rng(1).normal(size=(25, 6))))
    found = cluster_agreement(far, np.concatenate((labels, np.full(25, -1))))
    assert found.nmi == pytest.approx(1)
    assert (found.clusters, found.scored, found.left_out) == (3, 90, 25)


def test_as_many_labels_as_images():
    x = np.random.default_rng(0).normal(size=(50, 3))
    found = cluster_agreement(x, np.arange(50))
    assert found.nmi == pytest.approx(1)
    assert found.clusters == 50


def test_kmeans_is_seeded_and_more_restarts_are_no_worse():
    x, _ = blobs([9] * 8, 0.5)

    def spread(clusters):
        return sum(((x[clusters == c] - x[clusters == c].mean(0)) ** 2).sum() for c in range(8))

    one = kmeans(x, 8, restarts=1, seed=2)
    np.testing.assert_array_equal(one, kmeans(x, 8, restarts=1, seed=2))
    assert one.dtype == np.int64
    assert set(one) <= set(range(8))
    assert spread(kmeans(x, 8, restarts=10, seed=2)) <= spread(one) + 1e-4


def test_refusals(monkeypatch):
    x, labels = blobs([3, 3], 1)
    with pytest.raises(DataError, match="NaN or infinity in 1 of 6 rows"):
        cluster_agreement(np.where(np.arange(6)[:, None] == 4, np.nan, x), labels)
    with pytest.raises(DataError, match="6 embeddings, but 5 labels"):
        cluster_agreement(x, labels[:5])
    with pytest.raises(DataError, match="labels are unknown"):
        cluster_agreement(x, np.full(6, -1))
    for k, restarts, message in ((7, 1, "k is 7"), (0, 1, "k is 0"), (1, 0, "restarts is 0")):
        with pytest.raises(ConfigError, match=message):
            kmeans(x, k, restarts)
    with pytest.raises(ConfigError, match="seed is -1"):
        kmeans(x, 2, seed=-1)
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(GraphriseError, match=r"pip install graphrise\[demo\]"):
        cluster_agreement(x, labels)
