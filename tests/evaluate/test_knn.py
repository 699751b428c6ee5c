"""kNN classification and recall against loops and scikit-learn."""

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.knn import knn_classify, recall_at_k, top_k_accuracy
from graphrise.ops.knn import knn


def loop_ranked(labels, votes):
    """Labels of one query by (votes, place of the nearest), filled up with -1."""
    total, first = defaultdict(float), {}
    for place, (label, vote) in enumerate(zip(labels, votes, strict=True)):
        if label != -1:
            total[label] += vote
            first.setdefault(label, place)
    ranked = sorted(total, key=lambda label: (-total[label], first[label]))
    size = min(5, len(labels))
    return (ranked + [-1] * size)[:size]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_classify_equals_the_loop(data):
    n = data.draw(st.integers(1, 12))
    gallery = np.array(data.draw(st.lists(st.integers(-1, 4), min_size=n, max_size=n)))
    q, width = data.draw(st.integers(1, 4)), data.draw(st.integers(1, n))
    rows = st.permutations(range(n)).map(lambda order: order[:width])
    index = np.array(data.draw(st.lists(rows, min_size=q, max_size=q)))
    # Halves add up exactly, so that ties are ties in both.
    score = st.lists(st.integers(-2, 4).map(lambda v: v / 2), min_size=width, max_size=width)
    scores = np.array(data.draw(st.lists(score, min_size=q, max_size=q)))
    k = data.draw(st.integers(1, n + 2))
    for weighting in ("majority", "similarity"):
        ranked = knn_classify(index, scores, gallery, k, weighting)
        assert ranked.dtype == np.int64
        for row in range(q):
            votes = scores[row, :k].clip(min=0) if weighting == "similarity" else [1] * width
            assert ranked[row].tolist() == loop_ranked(gallery[index[row, :k]], votes[:k])


@settings(max_examples=200, deadline=None)
@given(data=st.data(), k=st.integers(1, 14), weighting=st.sampled_from(["majority", "similarity"]))
def test_votes_equal_scikit_learn(data, k, weighting, search_case):
    index, gallery, queries, same = data.draw(search_case)
    k = min(k, index.shape[1])
    # Places as distances, so that both see the same neighbours where the search had ties.
    places = np.full((len(index), len(gallery)), 1e9)
    np.put_along_axis(places, index, np.arange(index.shape[1], dtype=float)[None], axis=1)
    weights: Any = "uniform" if weighting == "majority" else lambda d: 1 / (1 + d)
    model = KNeighborsClassifier(k, metric="precomputed", weights=weights)
    model.fit(np.zeros((len(gallery), len(gallery))), gallery)
    shares = np.asarray(model.predict_proba(places)).T
    share = dict(zip(np.asarray(model.classes_).tolist(), shares, strict=True))
    scores = 1 / (1 + np.arange(index.shape[1], dtype=float))[None].repeat(len(index), 0)
    ranked = knn_classify(index, scores, gallery, k, weighting)
    for row, labels in enumerate(ranked):
        # scikit-learn lets the unknown label vote too; ours has the others in the same order.
        others = {label: of[row] for label, of in share.items() if label != -1 and of[row] > 0}
        votes = [others[label] for label in labels if label != -1]
        np.testing.assert_allclose(votes, sorted(others.values(), reverse=True)[:5], atol=1e-12)
        assert len(set(labels[labels != -1])) == len(votes)
    found = queries[:, None] == ranked
    known = [(gallery == q).sum() - same > 0 and q != -1 for q in queries]
    if any(known):
        accuracy = top_k_accuracy(ranked, queries, gallery, leave_one_out=same)
        assert accuracy.values[1] == pytest.approx(found[known, 0].mean())


def test_a_k_above_the_gallery_lets_all_of_it_vote():
    index, labels = np.array([[2, 0, 1]]), np.array([5, 5, 3])
    assert knn_classify(index, np.ones((1, 3)), labels, 50).tolist() == [[5, 3, -1]]
    model = KNeighborsClassifier(3).fit([[0.0], [1.0], [-5.0]], labels)
    assert model.predict([[-4.0]]) == [5]


def test_classify_equals_scikit_learn():
    rng = np.random.default_rng(0)
    gallery, queries = rng.normal(size=(200, 8)), rng.normal(size=(80, 8))
    labels = rng.integers(0, 3, 200)
    # An odd k and weights by distance leave no ties.
    weights: Any = lambda d: 1 / (1 + d**2)  # noqa: E731  (scikit-learn's own hint says str)
    model = KNeighborsClassifier(9, weights=weights).fit(gallery, labels)
    distances, index = knn(queries, gallery, 9, "l2")
    ranked = knn_classify(index, 1 / (1 + distances), labels, 9, "similarity")
    np.testing.assert_array_equal(ranked[:, 0], model.predict(queries))
    one = KNeighborsClassifier(1).fit(gallery, labels).predict(queries)
    np.testing.assert_array_equal(knn_classify(index, distances, labels, 1)[:, 0], one)


def test_a_tie_goes_to_the_nearest():
    labels = np.array([7, 3, 3, 7])
    ranked = knn_classify(np.array([[0, 1, 2, 3]]), np.ones((1, 4)), labels, 4)
    assert ranked.tolist() == [[7, 3, -1, -1]]


def test_accuracy_leaves_out_what_cannot_be_right():
    ranked = np.array([[1, 2], [2, 1], [1, 2], [1, 2]])
    result = top_k_accuracy(ranked, np.array([1, 1, 9, -1]), np.array([1, 2, -1]), ks=(1, 2, 5))
    assert result.values == {1: 0.5, 2: 1.0, 5: 1.0}
    assert (result.scored, result.left_out) == (2, 2)


@settings(max_examples=200, deadline=None)
@given(
    gallery=st.lists(st.integers(-1, 3), min_size=1, max_size=10),
    queries=st.lists(st.integers(-1, 4), min_size=1, max_size=6),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([np.int32, np.int64]),
)
def test_recall_equals_the_loop(gallery, queries, seed, dtype):
    n = len(gallery)
    rng = np.random.default_rng(seed)
    index = np.stack([rng.permutation(n) for _ in queries]).astype(dtype)
    known = [i for i, label in enumerate(queries) if label != -1 and label in gallery]
    arrays = index, np.array(gallery, dtype=dtype), np.array(queries, dtype=dtype)
    if not known:
        with pytest.raises(DataError, match="none of the"):
            recall_at_k(*arrays)
        return
    result = recall_at_k(*arrays, ks=range(1, n + 3))
    assert (result.scored, result.left_out) == (len(known), len(queries) - len(known))
    for k, value in result.values.items():
        hits = [any(gallery[j] == queries[i] for j in index[i, :k]) for i in known]
        assert value == pytest.approx(sum(hits) / len(hits))
    # It cannot fall as k rises, and the whole gallery holds every answer.
    assert list(result.values.values()) == sorted(result.values.values())
    assert result.values[n] == 1


def test_single_member_classes_when_the_set_searches_itself():
    x = np.array([[0.0], [0.1], [5.0]])
    labels = np.array([4, 4, 8])
    index = knn(x, x, 2, "l2", exclude_self=True)[1]
    result = recall_at_k(index, labels, labels, ks=(1, 9), leave_one_out=True)
    assert result.values == {1: 1.0, 9: 1.0}
    assert (result.scored, result.left_out) == (2, 1)
    ranked = knn_classify(index, np.ones_like(index), labels, 1)
    accuracy = top_k_accuracy(ranked, labels, labels, ks=(1,), leave_one_out=True)
    assert accuracy.values == {1: 1.0}
    assert accuracy.left_out == 1


def test_reads_any_layout():
    index = np.asfortranarray(np.array([[0, 1], [1, 0]]))[:, ::-1]
    labels = np.array([5, 0, 6, 0], dtype=np.int32)[::2]
    assert recall_at_k(index, labels, labels, ks=(1,)).values == {1: 0.0}
    assert recall_at_k(index[:, ::-1], labels, labels, ks=(1,)).values == {1: 1.0}


def test_refusals():
    index, labels = np.array([[0]]), np.array([1, 2])
    with pytest.raises(DataError, match="query_labels is empty"):
        recall_at_k(index, labels, labels[:0])
    with pytest.raises(DataError, match="gallery_labels is empty"):
        recall_at_k(index, labels[:0], labels[:1])
    with pytest.raises(DataError, match="k = 2 needs"):
        recall_at_k(index, labels, labels[:1], ks=(2,))
    with pytest.raises(ConfigError, match="at least 1"):
        recall_at_k(index, labels, labels[:1], ks=(0,))
    with pytest.raises(DataError, match="outside the gallery"):
        recall_at_k(index + 5, labels, labels[:1], ks=(1,))
    with pytest.raises(DataError, match="whole numbers"):
        recall_at_k(index, labels, np.array([1.0]), ks=(1,))
    with pytest.raises(DataError, match="holds -3 in row 1"):
        recall_at_k(index, np.array([1, -3]), labels[:1], ks=(1,))
    with pytest.raises(DataError, match="scores hold NaN"):
        knn_classify(index, np.array([[np.nan]]), labels, 1, "similarity")
    with pytest.raises(DataError, match="no query"):
        knn_classify(index[:0], np.ones((0, 1)), labels, 1)
    with pytest.raises(ConfigError, match="majority"):
        knn_classify(index, np.ones((1, 1)), labels, 1, "rank")  # pyright: ignore
