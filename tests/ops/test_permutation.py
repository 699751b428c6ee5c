"""Random orders without a table: bijections, each address its own, any part by itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.ops.permutation import permuted


@settings(max_examples=150, deadline=None)
@given(length=st.integers(1, 700), seed=st.integers(0, 2**40), epoch=st.integers(0, 5))
def test_every_value_once(length, seed, epoch):
    order = permuted(np.arange(length), length, seed, 2, epoch)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(length))


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 15, 16, 17, 255, 256, 257, 4096, 4097])
def test_lengths_about_the_powers_of_two(length):
    order = permuted(np.arange(length), length, 7)
    np.testing.assert_array_equal(np.sort(order), np.arange(length))


@settings(max_examples=50, deadline=None)
@given(length=st.integers(1, 300), data=st.data())
def test_a_part_is_the_wholes_part(length, data):
    whole = permuted(np.arange(length), length, 3, 1)
    place = np.array(data.draw(st.lists(st.integers(0, length - 1), max_size=20)), dtype=np.int64)
    kept = place.copy()
    np.testing.assert_array_equal(permuted(place, length, 3, 1), whole[place])
    np.testing.assert_array_equal(place, kept)


def test_each_address_has_its_own_order():
    addresses = [(0,), (1,), (0, 0), (0, 1), (1, 0), (2**40, 1)]
    orders = [permuted(np.arange(100), 100, *address) for address in addresses]
    for i, one in enumerate(orders):
        assert (one != np.arange(100)).any()
        for other in orders[:i]:
            # Two random orders of a hundred agree at one place on the average.
            assert (one == other).sum() < 12


@pytest.mark.parametrize("length", [5, 16, 37])
def test_every_value_at_every_place_alike(length):
    draws = 1500
    counts = np.zeros((length, length))
    for address in range(draws):
        counts[np.arange(length), permuted(np.arange(length), length, address)] += 1
    expected = draws / length
    chi_square = ((counts - expected) ** 2 / expected).sum()
    # Each row and column sums to `draws`; the rest is free, and near normal.
    freedom = (length - 1) ** 2
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_neighbouring_places_are_not_neighbours():
    order = permuted(np.arange(100_000), 100_000, 4)
    correlation = np.corrcoef(order[:-1], order[1:])[0, 1]
    assert abs(correlation) < 5 / np.sqrt(order.size)


@pytest.mark.parametrize("length", [2**40, 2**40 + 1, 2**61 - 1])
def test_huge_lengths_stay_inside(length):
    place = np.concatenate((np.arange(2000), length - 1 - np.arange(2000)))
    order = permuted(place, length, 9, 9)
    assert order.min() >= 0
    assert order.max() < length
    assert np.unique(order).size == order.size
    # All over the range: the mean of 4000 uniform numbers.
    assert abs(order.mean() / length - 0.5) < 5 / np.sqrt(12 * order.size)


def test_nothing_and_one():
    for length in (0, 1, 9):
        assert permuted(np.empty(0, dtype=np.int64), length, 0).shape == (0,)
    assert permuted(np.zeros(3, dtype=np.int64), 1, 5).tolist() == [0, 0, 0]
