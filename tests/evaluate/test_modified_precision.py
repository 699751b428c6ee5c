"""mMP@k."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.modified_precision import modified_precision
from graphrise.evaluate.ranking import r_precision, recall_per_query


def test_by_hand():
    gallery = np.array([7, 7, 3, 7, 5, 5, 5, 5, 5, 5])
    queries = np.array([7, 5, 3, 9, -1])
    index = np.array(
        [
            [0, 2, 1, 3, 4],  # three are right: of the first three two
            [4, 5, 0, 6, 7],  # six are right: of the first five four
            [0, 2, 1, 3, 4],  # one is right: it is not the first
            [0, 1, 2, 3, 4],
            [0, 1, 2, 3, 4],
        ]
    )
    found = modified_precision(index, gallery, queries)
    np.testing.assert_allclose(found.values, [2 / 3, 4 / 5, 0, np.nan, np.nan])
    assert found.mean == pytest.approx((2 / 3 + 4 / 5) / 3)
    assert (found.scored, found.left_out) == (3, 2)
    # A search within the gallery: the query is not one of the right ones.
    own = np.array([[1, 3], [0, 2], [1, 0]])
    three = np.array([7, 7, 3, 7])
    found = modified_precision(own[[0, 1]].repeat(2, 0), three, three, leave_one_out=True)
    np.testing.assert_allclose(found.values, [1, 1, np.nan, 1 / 2])


@settings(max_examples=200, deadline=None)
@given(data=st.data(), k=st.integers(1, 14))
def test_equal_to_the_loop(data, k, search_case):
    index, gallery, queries, same = data.draw(search_case)
    whole = index, gallery, queries
    right = [(gallery == q).sum() - same if q != -1 else 0 for q in queries]
    if max(right) <= 0:
        with pytest.raises(DataError, match="none of the"):
            modified_precision(*whole, k, same)
        return
    found = modified_precision(index[:, :k], gallery, queries, k, same)
    for i, many in enumerate(right):
        if many <= 0:
            assert np.isnan(found.values[i])
            continue
        first = min(k, many)
        hits = [gallery[j] == queries[i] for j in index[i, :first]]
        assert found.values[i] == pytest.approx(sum(hits) / first)
    # With a k above all R it is R-precision, with 1 it is recall@1.
    wide = modified_precision(*whole, len(gallery), same)
    np.testing.assert_allclose(wide.values, r_precision(*whole, same).values)
    one = modified_precision(*whole, 1, same)
    np.testing.assert_array_equal(one.values, recall_per_query(*whole, 1, same).values)


def test_refusals():
    index, labels = np.array([[0, 1]]), np.array([1, 1, 1, 1])
    with pytest.raises(ConfigError, match="k is 0"):
        modified_precision(index, labels, labels[:1], 0)
    with pytest.raises(DataError, match=r"mMP@5 needs 4 neighbours a query, the index holds 2"):
        modified_precision(index, labels, labels[:1])
    assert modified_precision(index, np.array([1, 1, 2, 3]), labels[:1]).mean == 1
