"""Neighbours of queries that may lie in the gallery."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import DataError
from graphrise.evaluate.neighbors import nearest


@settings(max_examples=60, deadline=None)
@given(data=st.data(), k=st.integers(1, 12))
def test_the_query_is_left_out_and_nothing_else(data, k):
    size = data.draw(st.integers(2, 9))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    # Few places: many images have copies, which tie with the query itself.
    gallery = rng.integers(-1, 2, (size, 2)).astype(np.float32)
    own = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=5)))
    cosine, index = nearest(gallery[own], gallery, k, own)
    assert index.shape == cosine.shape == (len(own), min(k, size - 1))
    unit = gallery / np.maximum(np.linalg.norm(gallery, axis=1, keepdims=True), 1e-9)
    for row, query in enumerate(own):
        others = np.delete(unit @ unit[query], query)
        want = np.sort(others)[::-1][:k]
        np.testing.assert_allclose(cosine[row], want, atol=1e-6)
        assert query not in index[row]
        assert len(set(index[row])) == index.shape[1]
        np.testing.assert_allclose(unit[index[row]] @ unit[query], want, atol=1e-6)


def test_outside_the_gallery_and_the_whole_of_it():
    gallery = np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype=np.float32)
    assert nearest(gallery[:1], gallery, 2)[1].tolist() == [[0, 1]]
    assert nearest(gallery, gallery, 1, np.arange(3))[1].tolist() == [[1], [0], [1]]
    backwards = np.array([2, 1, 0])
    assert nearest(gallery[backwards], gallery, 1, backwards)[1].tolist() == [[1], [0], [1]]


@pytest.mark.parametrize("own", [[0], [0, 3], [-1, 0]])
def test_rows_that_are_not_there(own):
    gallery = np.eye(3, dtype=np.float32)
    with pytest.raises(DataError, match="a gallery row for each of the 2 queries"):
        nearest(gallery[:2], gallery, 1, np.array(own))
