"""NDCG against scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score
from torchmetrics.functional.retrieval import retrieval_normalized_dcg

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.ndcg import ndcg_at_k

COARSER = np.array([0, 0, 1, 1, 1, 2, -1])
"""Category of labels 0..5, and of the unknown one."""


@settings(max_examples=250, deadline=None)
@given(data=st.data(), k=st.integers(1, 14), graded=st.booleans())
def test_equal_to_scikit_learn_and_torchmetrics(data, k, graded, search_case):
    index, gallery, queries, same = data.draw(search_case)
    levels = [gallery, COARSER[gallery]][: 1 + graded], [queries, COARSER[queries]][: 1 + graded]
    relevance = np.zeros((len(queries), len(gallery)), dtype=np.int64)
    for g, q in zip(*levels, strict=True):
        relevance += (g == q[:, None]) & (q[:, None] != -1)
    if same:
        np.fill_diagonal(relevance, 0)
    known = relevance.any(axis=1)
    given = levels if graded else (gallery, queries)
    if not known.any():
        with pytest.raises(DataError, match="none of the"):
            ndcg_at_k(index, *given, k, same)
        return
    found = ndcg_at_k(index[:, :k], *given, k, same)
    assert (found.scored, found.left_out) == (known.sum(), (~known).sum())
    assert np.isnan(found.values[~known]).all()
    for i in np.flatnonzero(known):
        target = relevance[i][index[i]]
        places = np.arange(len(target), 0, -1, dtype=np.float32)
        want = retrieval_normalized_dcg(
            torch.from_numpy(places), torch.from_numpy(target), min(k, len(target))
        )
        assert found.values[i] == pytest.approx(float(want), abs=1e-5)
        if len(target) > 1:  # scikit-learn wants at least two
            want = ndcg_score(target[None], places[None], k=k)
            assert found.values[i] == pytest.approx(want)


def test_single_member_classes_and_a_k_above_the_gallery():
    labels = np.array([4, 4, 8])
    index = np.array([[1, 2], [2, 0], [0, 1]])
    found = ndcg_at_k(index, labels, labels, 50, leave_one_out=True)
    # The third image is alone with its label; the second finds the first in second place.
    np.testing.assert_allclose(found.values, [1, np.log2(2) / np.log2(3), np.nan])
    for i in (0, 1):
        target = (labels[index[i]] == labels[i]).astype(np.int64)
        assert found.values[i] == pytest.approx(ndcg_score(target[None], [[2.0, 1.0]], k=50))


def test_ties_count_in_the_order_that_the_search_gives():
    # scikit-learn averages over the orders of ties; the index has one order.
    labels, query = np.array([1, 2]), np.array([1])
    values = [ndcg_at_k(np.array([o]), labels, query, 2).mean for o in ([0, 1], [1, 0])]
    assert np.mean(values) == pytest.approx(ndcg_score([[1, 0]], [[0.5, 0.5]]))


def test_graded_by_hand():
    # Instance 1 lies in category 5 with instance 2.
    gallery = [np.array([1, 2, 3]), np.array([5, 5, 6])]
    query = [np.array([1]), np.array([5])]
    found = ndcg_at_k(np.array([[1, 2, 0]]), gallery, query, 3)
    log = np.log2([2, 3, 4])
    assert found.mean == pytest.approx((1 / log[0] + 2 / log[2]) / (2 / log[0] + 1 / log[1]))
    assert ndcg_at_k(np.array([[0, 1]]), gallery, query, 2).mean == 1


def test_refusals():
    index, labels = np.array([[0, 1]]), np.array([1, 1, 2])
    with pytest.raises(ConfigError, match="at least 1"):
        ndcg_at_k(index, labels, labels[:1], 0)
    with pytest.raises(DataError, match=r"NDCG@3 needs 3 neighbours a query"):
        ndcg_at_k(index, labels, labels[:1], 3)
    with pytest.raises(DataError, match=r"label 1 of level 0 has both 4 and 5 at level 1"):
        ndcg_at_k(index, [labels, np.array([4, 5, 5])], [labels[:1], np.array([4])], 1)
    with pytest.raises(DataError, match="the gallery has 1 label levels, the queries 2"):
        ndcg_at_k(index, [labels], [labels[:1], labels[:1]], 1)
    with pytest.raises(DataError, match=r"the levels of gallery_labels have \[3, 2\] rows"):
        ndcg_at_k(index, [labels, labels[:2]], [labels[:1], labels[:1]], 1)
    with pytest.raises(DataError, match="query_labels is empty"):
        ndcg_at_k(index, [labels], [], 1)
