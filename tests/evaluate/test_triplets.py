"""How triplets are judged: distances, accuracy, and the recall curve against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.triplets import (
    recall_vs_margin,
    triplet_accuracy,
    triplet_distances,
)


def test_distances_and_accuracy():
    anchor = np.array([[2.0, 0], [0, 3], [1, 1], [1, 0]])
    positive = np.array([[1.0, 0], [1, 0], [2, 2], [0, 1]])
    negative = np.array([[0.0, 1], [0, 1], [1, 1], [0, 2]])
    d_pos, d_neg = triplet_distances(anchor, positive, negative)
    np.testing.assert_allclose(d_pos, [0, 2, 0, 2], atol=1e-6)
    np.testing.assert_allclose(d_neg, [2, 0, 0, 2], atol=1e-6)
    # Rows 3 and 4 are ties: they count as wrong.
    assert triplet_accuracy(anchor, positive, negative) == 0.25


def test_scale_does_not_matter_and_zero_is_at_one():
    rng = np.random.default_rng(0)
    a, p, n = rng.normal(size=(3, 20, 4))
    np.testing.assert_allclose(
        triplet_distances(a * 1e30, p * 1e-30, n)[0], triplet_distances(a, p, n)[0], rtol=1e-5
    )
    zero = np.zeros((1, 2))
    assert triplet_distances(np.array([[0.0, 2]]), zero, zero)[0].tolist() == [1]


@settings(max_examples=60, deadline=None)
@given(
    d=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=20),
    margins=st.sets(st.integers(0, 10), min_size=2, max_size=6),
)
def test_recall_equals_the_loop(d, margins):
    # Quarters are exact, so that ties at the margin are ties.
    d_pos, d_neg = np.array(d).T / 4
    grid = sorted(m / 4 for m in margins)
    curve = recall_vs_margin(d_pos, d_neg, grid)
    want = [float(np.mean([p + m < n for p, n in zip(d_pos, d_neg, strict=True)])) for m in grid]
    assert curve.margins == tuple(grid)
    np.testing.assert_allclose(curve.recall, want)
    assert sorted(want, reverse=True) == want
    area = sum(
        (b - a) * (u + v) / 2 for a, b, u, v in zip(grid, grid[1:], want, want[1:], strict=False)
    )
    assert curve.area == pytest.approx(area / (grid[-1] - grid[0]))
    assert 0 <= curve.area <= 1


def test_refusals():
    one = np.ones((1, 2))
    with pytest.raises(DataError, match="anchor is empty"):
        triplet_accuracy(one[:0], one[:0], one[:0])
    with pytest.raises(DataError, match=r"negative holds NaN or infinity.*row 0"):
        triplet_accuracy(one, one, one * np.nan)
    with pytest.raises(DataError, match="shapes differ"):
        triplet_accuracy(one, one, np.ones((2, 2)))
    with pytest.raises(DataError, match="NaN"):
        recall_vs_margin(np.array([np.nan]), np.array([1.0]), [0, 1])
    with pytest.raises(DataError, match="shapes"):
        recall_vs_margin(np.array([]), np.array([]), [0, 1])
    for margins in ([0], [1, 0], [-1, 0], [0, np.inf]):
        with pytest.raises(ConfigError, match="margins"):
            recall_vs_margin(np.array([0.0]), np.array([1.0]), margins)
