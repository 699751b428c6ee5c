"""Exact kNN against plain loops and scikit-learn, on both backends."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.neighbors import NearestNeighbors

from graphrise.errors import ConfigError, DataError
from graphrise.ops.knn import knn


@pytest.fixture(params=["faiss", "torch"])
def backend(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setitem(sys.modules, "faiss", None)
    else:
        pytest.importorskip("faiss")
    return request.param


@pytest.fixture
def small_blocks(monkeypatch):
    module = sys.modules["graphrise.ops.knn"]
    monkeypatch.setattr(module, "_QUERY_BLOCK", 3)
    monkeypatch.setattr(module, "_GALLERY_BLOCK", 4)
    monkeypatch.setitem(sys.modules, "faiss", None)


def loop_knn(queries, gallery, k, metric, exclude_self=False):
    """Scores in float64, sorted by (score, gallery row)."""
    rows = []
    for i, q in enumerate(np.asarray(queries, dtype=np.float64)):
        scored = []
        for j, g in enumerate(np.asarray(gallery, dtype=np.float64)):
            if exclude_self and i == j:
                continue
            if metric == "l2":
                scored.append((((q - g) ** 2).sum(), j))
            elif metric == "ip":
                scored.append((-(q @ g), j))
            else:
                norms = np.linalg.norm(q) * np.linalg.norm(g)
                scored.append((-(q @ g) / norms if norms else 0.0, j))
        rows.append(sorted(scored)[:k])
    sign = 1 if metric == "l2" else -1
    scores = np.array([[sign * s for s, _ in row] for row in rows])
    return scores, np.array([[j for _, j in row] for row in rows])


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@pytest.mark.parametrize("exclude_self", [False, True])
def test_equals_the_loop(backend, metric, exclude_self):
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(37, 5)).astype(np.float32)
    queries = gallery if exclude_self else rng.normal(size=(23, 5)).astype(np.float32)
    scores, index = knn(queries, gallery, 6, metric, exclude_self)
    want_scores, want_index = loop_knn(queries, gallery, 6, metric, exclude_self)
    assert scores.dtype == np.float32
    assert index.dtype == np.int64
    np.testing.assert_allclose(scores, want_scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(index, want_index)


def test_equals_scikit_learn(backend):
    rng = np.random.default_rng(1)
    gallery, queries = rng.normal(size=(300, 16)), rng.normal(size=(50, 16))
    distances, want = NearestNeighbors(n_neighbors=10).fit(gallery).kneighbors(queries)
    scores, index = knn(queries, gallery, 10, "l2")
    np.testing.assert_array_equal(index, want)
    np.testing.assert_allclose(np.sqrt(scores), distances, rtol=1e-4)


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("exclude_self", [False, True])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_blocks_keep_the_lowest_row_among_ties(metric, exclude_self, data):
    # Small whole numbers: sums are exact in float32 and ties are everywhere.
    shape = st.tuples(st.integers(2, 14), st.integers(1, 3))
    x = data.draw(hnp.arrays(np.float32, shape, elements=st.integers(-1, 1).map(float)))
    k = data.draw(st.integers(1, len(x) - exclude_self))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["graphrise.ops.knn"], "_QUERY_BLOCK", 3)
        patch.setattr(sys.modules["graphrise.ops.knn"], "_GALLERY_BLOCK", 4)
        patch.setitem(sys.modules, "faiss", None)
        scores, index = knn(x, x, k, metric, exclude_self)
    want_scores, want_index = loop_knn(x, x, k, metric, exclude_self)
    np.testing.assert_array_equal(scores, want_scores)
    np.testing.assert_array_equal(index, want_index)


@settings(max_examples=40, deadline=None)
@given(
    x=hnp.arrays(np.float32, (9, 3), elements=st.floats(-8, 8, width=32)),
    k=st.integers(1, 12),
    metric=st.sampled_from(["cosine", "l2", "ip"]),
)
def test_both_backends_find_equal_scores(x, k, metric):
    pytest.importorskip("faiss")
    fast, rows = knn(x, x, k, metric)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "faiss", None)
        plain, _ = knn(x, x, k, metric)
    np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-4)
    assert fast.shape == rows.shape == (9, min(k, 9))
    assert all(len(set(row)) == len(row) for row in rows.tolist())


def test_excluded_self_stays_out_among_copies(backend):
    x = np.ones((40, 3), dtype=np.float32)
    _, index = knn(x, x, 5, "l2", exclude_self=True)
    assert index.shape == (40, 5)
    assert not (index == np.arange(40)[:, None]).any()
    assert all(len(set(row)) == 5 for row in index.tolist())


def test_k_above_the_gallery_returns_every_row(backend):
    x = np.eye(4, dtype=np.float32)
    scores, index = knn(x[:2], x, 100)
    assert scores.shape == index.shape == (2, 4)
    assert sorted(index[0].tolist()) == [0, 1, 2, 3]
    assert knn(x, x, 100, exclude_self=True)[1].shape == (4, 3)


def test_one_row_and_no_query(backend):
    one = np.array([[3.0, 4.0]], dtype=np.float32)
    scores, index = knn(one, one, 1)
    assert index.tolist() == [[0]]
    assert scores[0, 0] == pytest.approx(1)
    assert knn(one, one, 1, exclude_self=True)[0].shape == (1, 0)
    assert knn(one[:0], one, 1)[1].shape == (0, 1)


def test_any_layout_and_dtype(backend):
    rng = np.random.default_rng(2)
    x = rng.integers(-9, 9, size=(20, 6))
    want = knn(x.astype(np.float32), x.astype(np.float32), 3, "l2")
    for values in (x, np.asfortranarray(x.astype(np.float64)), x[::-1][::-1], x.astype(np.int16)):
        got = knn(values, values, 3, "l2")
        np.testing.assert_array_equal(got[0], want[0])
    frozen = x.astype(np.float32)
    frozen.flags.writeable = False
    np.testing.assert_array_equal(knn(frozen, frozen, 3, "l2")[0], want[0])


def test_tensors_in_tensors_out(backend):
    x = torch.randn(10, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    scores, index = knn(x, x.detach().numpy(), 3)
    assert isinstance(scores, torch.Tensor)
    assert not scores.requires_grad
    assert index.dtype == torch.int64
    half = knn(x.detach().bfloat16(), x.detach().bfloat16(), 1)[1]
    assert half.squeeze(1).tolist() == list(range(10))
    assert knn(x.T, x.T, 2)[0].shape == (4, 2)


def test_cosine_survives_huge_tiny_and_zero_rows(backend):
    gallery = np.array([[1e30, 0], [0, 1e-30], [0, 0]], dtype=np.float32)
    scores, index = knn(np.array([[0, 2.0]], dtype=np.float32), gallery, 3)
    assert index[0, 0] == 1
    np.testing.assert_allclose(scores[0], [1, 0, 0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refuses_what_is_not_finite(backend, bad):
    x = np.ones((3, 2), dtype=np.float32)
    y = x.copy()
    y[2, 1] = bad
    with pytest.raises(DataError, match=r"gallery holds NaN or infinity in 1 of 3 rows.*row 2"):
        knn(x, y, 1)
    with pytest.raises(DataError, match="queries"):
        knn(y, x, 1)


def test_refuses_what_makes_no_sense():
    x = np.ones((3, 2), dtype=np.float32)
    with pytest.raises(ConfigError, match="k is 0"):
        knn(x, x, 0)
    with pytest.raises(ConfigError, match="'cosine', 'l2' or 'ip'"):
        knn(x, x, 1, "hamming")  # pyright: ignore
    with pytest.raises(ConfigError, match="same array"):
        knn(x, x.copy(), 1, exclude_self=True)
    with pytest.raises(DataError, match="no rows"):
        knn(x, x[:0], 1)
    with pytest.raises(DataError, match="2 columns, the gallery has 1"):
        knn(x, x[:, :1], 1)
    with pytest.raises(DataError, match="expected"):
        knn(x[0], x, 1)
    with pytest.raises(DataError, match="norm above"):
        knn(x * 1e20, x, 1, "l2")


def test_many_blocks(small_blocks):
    rng = np.random.default_rng(3)
    queries, gallery = rng.normal(size=(11, 3)), rng.normal(size=(18, 3))
    np.testing.assert_array_equal(
        knn(queries, gallery, 7)[1], loop_knn(queries, gallery, 7, "cosine")[1]
    )


def test_autocast_does_not_round_the_scores(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    x = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    want = knn(x, x, 4, "ip")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = knn(x, x, 4, "ip")
    torch.testing.assert_close(got[0], want[0], rtol=0, atol=0)
