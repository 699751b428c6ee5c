"""Search in blocks against the search of the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.search import search_blocks
from graphrise.ops.knn import knn


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    k=st.integers(1, 70),
    metric=st.sampled_from(["cosine", "ip", "l2"]),
    tensor=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_blocks_give_the_result_of_the_whole(size, cuts, k, metric, tensor, seed):
    rng = np.random.default_rng(seed)
    gallery = rng.normal(size=(size, 5)).astype(rng.choice(["float32", "float64"]))
    queries = rng.normal(size=(7, 5)).astype(np.float32)
    asked = torch.from_numpy(queries) if tensor else queries
    blocks = np.split(gallery, sorted(min(cut, size) for cut in cuts))
    scores, index = search_blocks(asked, iter(blocks), k, metric)
    want_scores, want_index = knn(asked, gallery, k, metric)
    assert type(scores) is type(index) is type(asked)
    assert scores.shape == index.shape == (7, min(k, size))
    np.testing.assert_allclose(np.asarray(scores), np.asarray(want_scores), atol=1e-5)
    np.testing.assert_array_equal(np.asarray(index), np.asarray(want_index))


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_a_mapped_file_of_several_blocks_searches_itself(tmp_path, metric):
    # 64 rows of this width make a block.
    rows = np.random.default_rng(0).integers(-9, 10, (70, 1 << 18), dtype=np.int8)
    np.save(tmp_path / "gallery.npy", rows)
    mapped = [np.load(tmp_path / "gallery.npy", mmap_mode="r") for _ in range(2)]
    scores, index = search_blocks(mapped[0], mapped[1], 4, metric, exclude_self=True)
    want = knn(rows, rows, 4, metric, exclude_self=True)
    assert (index != np.arange(70)[:, None]).all()
    np.testing.assert_allclose(scores, want[0], rtol=1e-4, atol=1e-4)
    # Every row found has the score that it is given, whatever the order of near ties.
    x = rows.astype(np.float64)
    if metric == "cosine":
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    pairs = x @ x.T
    if metric == "l2":
        pairs = np.diag(pairs)[:, None] + np.diag(pairs) - 2 * pairs
    np.testing.assert_allclose(scores, np.take_along_axis(pairs, index, 1), rtol=1e-4, atol=1e-4)


def test_ties_and_copies():
    ones = np.ones((5, 2), dtype=np.float32)
    index = search_blocks(ones[:1], [row[None] for row in ones], 3)[1]
    assert index.tolist() == [[0, 1, 2]]
    # More copies than neighbours: a row still never finds itself.
    scores, index = search_blocks(ones, ones, 2, exclude_self=True)
    assert (index != np.arange(5)[:, None]).all()
    np.testing.assert_allclose(scores, 1)
    assert search_blocks(ones, ones, 9, "l2", exclude_self=True)[0].shape == (5, 4)


def test_no_queries():
    scores, index = search_blocks(np.empty((0, 2), np.float32), [np.ones((3, 2))], 2)
    assert scores.shape == index.shape == (0, 2)


def test_refusals(tmp_path):
    x = np.ones((4, 2), dtype=np.float32)
    with pytest.raises(ConfigError, match="at least 1"):
        search_blocks(x, x, 0)
    with pytest.raises(ConfigError, match="metric is 'dot'"):
        search_blocks(x, x, 1, "dot")  # pyright: ignore
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    other = np.load(tmp_path / "y.npy", mmap_mode="r")
    for queries, gallery in (
        (x, x.copy()),
        (x, [x]),
        (mapped, other),
        (mapped, mapped[:2]),
        (mapped[:2], mapped[2:]),
    ):
        with pytest.raises(ConfigError, match="exclude_self needs the same array, or file"):
            search_blocks(queries, gallery, 1, "l2", exclude_self=True)
    with pytest.raises(DataError, match="gallery has no rows"):
        search_blocks(x, iter([]), 1)
    with pytest.raises(DataError, match=r"gallery block from row 4: .*columns"):
        search_blocks(x, [x, np.ones((2, 3))], 1)
    with pytest.raises(DataError, match=r"gallery block from row 4: gallery holds NaN.* row 1"):
        search_blocks(x, [x, np.array([[1, 2], [np.nan, 1]])], 1)
    with pytest.raises(DataError, match="queries holds NaN"):
        search_blocks(np.full((1, 2), np.nan), x, 1)
