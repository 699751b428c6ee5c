"""Recall by level, and with the finer label's images taken out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.hierarchy import hierarchical_recall
from graphrise.evaluate.knn import recall_at_k
from graphrise.evaluate.relevant import needed_k


def loop_without(index, gallery, queries, k):
    """Query row -> hit, for [finer, label] levels, by removing the finer label's images."""
    found = {}
    for i, (fine, label) in enumerate(zip(*queries, strict=True)):
        others = (gallery[0] != fine) & (gallery[1] == label)
        if fine != -1 and label != -1 and others.any():
            left = [j for j in index[i] if gallery[0][j] != fine]
            found[i] = float(any(gallery[1][j] == label for j in left[:k]))
    return found


@settings(max_examples=60, deadline=None)
@given(data=st.data(), k=st.integers(1, 5), seed=st.integers(0, 99))
def test_equal_to_removing_images(data, k, seed, search_case):
    index, gallery, queries, same = data.draw(search_case)
    rng = np.random.default_rng(seed)
    # Levels need not be nested, and any may be unknown.
    coarse = [rng.integers(-1, 3, len(gallery)) for _ in range(2)]
    asked = coarse if same else [rng.integers(-1, 3, len(queries)) for _ in range(2)]
    levels = [gallery, *coarse], [queries, *asked]
    try:
        want = [
            recall_at_k(index, g, q, (k,), leave_one_out=same) for g, q in zip(*levels, strict=True)
        ]
    except DataError:
        with pytest.raises(DataError, match="none of the"):
            hierarchical_recall(index, *levels, k, same)
        return
    width = k + max(needed_k(q, g, same) for g, q in zip(*levels, strict=True))
    found = hierarchical_recall(index[:, :width], *levels, k, same)
    assert found[0].without_finer is None
    for level, one in enumerate(found):
        assert one.recall.mean == pytest.approx(want[level].values[k])
        assert one.recall.left_out == want[level].left_out
    for level in (1, 2):
        near = slice(level - 1, level + 1)
        by_hand = loop_without(index, levels[0][near], levels[1][near], k)
        without = found[level].without_finer
        if without is None:
            assert not by_hand
        else:
            scored = (~np.isnan(without.values)).nonzero()[0]
            assert {int(i): without.values[i] for i in scored} == by_hand


def test_by_hand():
    # The query's instance is nearest, then another category, then its own.
    gallery = [np.array([0, 1, 2]), np.array([0, 1, 0])]
    query = [np.array([0]), np.array([0])]
    first, second = (hierarchical_recall(np.array([[0, 1, 2]]), gallery, query, k) for k in (1, 2))
    assert (first[1].recall.mean, second[1].recall.mean) == (1, 1)
    assert first[1].without_finer is not None
    assert second[1].without_finer is not None
    assert (first[1].without_finer.mean, second[1].without_finer.mean) == (0, 1)


def test_refusals():
    gallery = [np.array([0, 0, 1, 2]), np.array([0, 0, 0, 1])]
    query = [np.array([0]), np.array([0])]
    index = np.array([[0, 1, 2, 3]])
    with pytest.raises(DataError, match="recall@1 without the finer label needs 3 neighbours"):
        hierarchical_recall(index[:, :2], gallery, query)
    with pytest.raises(ConfigError, match="at least 1"):
        hierarchical_recall(index, gallery, query, 0)
    with pytest.raises(DataError, match="the gallery has 2 label levels, the queries 1"):
        hierarchical_recall(index, gallery, query[:1])
    with pytest.raises(DataError, match="gallery_levels is empty"):
        hierarchical_recall(index, [], [])
