"""Precision@1, R-precision and MAP@R against loops, torchmetrics and pytorch-metric-learning."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torchmetrics.functional.retrieval import retrieval_hit_rate, retrieval_r_precision

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.knn import recall_at_k
from graphrise.evaluate.ranking import map_at_r, precision_at_1, r_precision, recall_per_query
from graphrise.evaluate.relevant import needed_k, relevant_count
from graphrise.ops.knn import knn


def known_queries(index, gallery, queries, same):
    """Rows of the queries that have something to find."""
    return [
        i for i, label in enumerate(queries) if label != -1 and (gallery == label).sum() - same > 0
    ]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_equal_to_the_loop(data, search_case):
    case = data.draw(search_case)
    index, gallery, queries, same = case
    known = known_queries(*case)
    if not known:
        for metric in (precision_at_1, r_precision, map_at_r):
            with pytest.raises(DataError, match="none of the"):
                metric(*case)
        return
    width = needed_k(queries, gallery, same)
    narrow = index[:, :width], *case[1:]
    found = {m: m(*narrow) for m in (precision_at_1, r_precision, map_at_r)}
    for result in found.values():
        assert np.flatnonzero(~np.isnan(result.values)).tolist() == known
        assert (result.scored, result.left_out) == (len(known), len(queries) - len(known))
    for i in known:
        r = (gallery == queries[i]).sum() - same
        right = [gallery[j] == queries[i] for j in index[i, :r]]
        precision = [sum(right[: p + 1]) / (p + 1) for p in range(r) if right[p]]
        assert found[precision_at_1].values[i] == right[0]
        assert found[r_precision].values[i] == pytest.approx(sum(right) / r)
        assert found[map_at_r].values[i] == pytest.approx(sum(precision) / r)
    if width > 1:
        with pytest.raises(DataError, match=f"MAP@R needs {width} neighbours a query, .* holds"):
            map_at_r(index[:, : width - 1], *case[1:])


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_equal_to_pytorch_metric_learning(data, search_case):
    case = data.draw(search_case)
    index, gallery, queries, same = case
    assume(known_queries(*case))
    # It knows no unknown labels: a label of their own is never found and has nothing to find.
    theirs = [np.where(x == -1, 100 + np.arange(len(x)), x) for x in (gallery, queries)]
    if not same:
        theirs[1] = np.where(queries == -1, 1000, queries)

    def search(query, k, reference, ref_includes_query):
        assert ref_includes_query == same
        return torch.zeros(len(query), k), torch.from_numpy(index[:, :k].copy())

    names = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
    judge = AccuracyCalculator(include=names, device=torch.device("cpu"), knn_func=search)
    want = judge.get_accuracy(
        torch.zeros(len(queries), 2),
        torch.from_numpy(theirs[1]),
        torch.zeros(len(gallery), 2),
        torch.from_numpy(theirs[0]),
        same,
    )
    for name, metric in zip(names, (precision_at_1, r_precision, map_at_r), strict=True):
        assert metric(*case).mean == pytest.approx(want[name], abs=1e-6)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), k=st.integers(1, 14))
def test_equal_to_torchmetrics(data, k, search_case):
    case = data.draw(search_case)
    index, gallery, queries, same = case
    known = known_queries(*case)
    assume(known)
    precision, hit = r_precision(*case), recall_per_query(index, gallery, queries, k, same)
    for i in known:
        target = torch.from_numpy(gallery[index[i]] == queries[i])
        places = torch.arange(len(target), 0, -1).float()
        want = retrieval_r_precision(places, target)
        assert precision.values[i] == pytest.approx(float(want), abs=1e-6)
        want = retrieval_hit_rate(places, target, top_k=min(k, len(target)))
        assert hit.values[i] == float(want)
    assert hit.mean == pytest.approx(recall_at_k(*case[:3], ks=(k,), leave_one_out=same).values[k])


def test_by_hand():
    gallery, query = np.array([7, 3, 7, 7, -1]), np.array([7, -1, 9])
    index = np.array([[0, 1, 2, 3, 4]] * 3)
    assert relevant_count(query, gallery).tolist() == [3, 0, 0]
    assert relevant_count(gallery, gallery, leave_one_out=True).tolist() == [2, 0, 2, 2, 0]
    assert needed_k(query, gallery) == 3
    assert needed_k(query[1:], gallery) == 0
    found = map_at_r(index, gallery, query)
    np.testing.assert_allclose(found.values, [(1 + 2 / 3) / 3, np.nan, np.nan])
    assert found.mean == pytest.approx(5 / 9)
    assert r_precision(index, gallery, query).mean == pytest.approx(2 / 3)


def judged(x, labels, asked=None, asked_labels=None, **names):
    """AccuracyCalculator with its own search: metric -> value."""
    judge = AccuracyCalculator(include=tuple(names), device=torch.device("cpu"))
    same = asked is None
    query, query_labels = (x, labels) if same else (asked, asked_labels)
    query, query_labels, x, labels = map(torch.from_numpy, (query, query_labels, x, labels))
    return judge.get_accuracy(query, query_labels, x, labels, same)


FAMILY = {
    "precision_at_1": precision_at_1,
    "r_precision": r_precision,
    "mean_average_precision_at_r": map_at_r,
}


def test_single_member_classes_are_left_out_as_in_pytorch_metric_learning():
    x = np.array([[0.0], [0.1], [0.3], [5.0], [5.5], [9.0]], dtype=np.float32)
    labels = np.array([4, 4, 8, 8, 1, 2])  # 1 and 2 have one image
    index = knn(x, x, 5, "l2", exclude_self=True)[1]
    want = judged(x, labels, **FAMILY)
    for name, metric in FAMILY.items():
        found = metric(index, labels, labels, True)
        assert found.mean == pytest.approx(want[name])
        assert found.left_out == 2


def test_a_gallery_smaller_than_every_k_as_in_pytorch_metric_learning():
    x = np.array([[0.0], [1.0], [2.5]], dtype=np.float32)
    labels, asked = np.array([3, 5, 3]), np.array([[2.4], [0.9]], dtype=np.float32)
    index = knn(asked, x, 50, "l2")[1]
    assert index.shape == (2, 3)
    want = judged(x, labels, asked, np.array([3, 3]), **FAMILY)
    for name, metric in FAMILY.items():
        found = metric(index, labels, np.array([3, 3])).mean
        assert found == pytest.approx(want[name])
    for k in (4, 50):
        assert recall_per_query(index, labels, np.array([3, 3]), k).mean == 1


def test_ties_count_in_the_order_that_the_search_gives():
    # Two images at one place, one of them right: the metric follows the index, whatever it is.
    labels, query = np.array([1, 2]), np.array([1])
    for order, want in (([0, 1], 1), ([1, 0], 0)):
        for metric in FAMILY.values():
            assert metric(np.array([order]), labels, query).mean == want


def test_labels_far_apart_are_counted_like_near_ones():
    rng = np.random.default_rng(0)
    near, asked = rng.integers(-1, 6, 40), rng.integers(-1, 8, 30)
    # Millions apart, and in another order.
    far, far_asked = [np.where(x == -1, -1, (9 - x) * 7_000_003) for x in (near, asked)]
    for same in (False, True):
        np.testing.assert_array_equal(
            relevant_count(far_asked, far, same), relevant_count(asked, near, same)
        )
        want = [max(0, (near == q).sum() - same) if q != -1 else 0 for q in asked]
        assert relevant_count(asked, near, same).tolist() == want
    for gallery in (np.full(3, -1), np.array([10**12])):
        assert relevant_count(np.array([-1, 5]), gallery).tolist() == [0, 0]


def test_many_queries_are_done_in_blocks():
    rng = np.random.default_rng(0)
    gallery = np.repeat(np.arange(3), 700)
    queries = rng.integers(0, 3, 5000)
    index = np.stack([rng.permutation(2100)[:700] for _ in range(50)])[rng.integers(0, 50, 5000)]
    found = map_at_r(index, gallery, queries)
    for i in [*rng.integers(0, 5000, 20).tolist(), 0, 4999]:
        right = gallery[index[i]] == queries[i]
        want = (right * right.cumsum() / np.arange(1, 701)).sum() / 700
        assert found.values[i] == pytest.approx(want)


def test_refusals():
    index, labels = np.array([[0, 1]]), np.array([1, 1, 2])
    for metric in (precision_at_1, r_precision, map_at_r):
        with pytest.raises(DataError, match="query_labels is empty"):
            metric(index, labels, labels[:0])
        with pytest.raises(DataError, match="outside the gallery"):
            metric(index + 2, labels, labels[:1])
        with pytest.raises(DataError, match="whole numbers"):
            metric(index, labels, np.array([np.nan]))
    with pytest.raises(ConfigError, match="at least 1"):
        recall_per_query(index, labels, labels[:1], 0)
    with pytest.raises(DataError, match=r"recall@3 needs 3 neighbours a query, the index holds 2"):
        recall_per_query(index, labels, labels[:1], 3)
