"""Numbers by address: same address same number, nothing else matters."""

import numpy as np
import pytest

from graphrise.ops.counter_random import counter_bits, counter_uniform


def test_an_address_is_a_number():
    assert counter_uniform(1, 2, 3).shape == ()
    assert counter_uniform(1, 2, 3) == counter_uniform(1, 2, 3)
    numbers = {float(counter_uniform(*a)) for a in ((1, 2, 3), (3, 2, 1), (1, 2), (1, 2, 3, 0))}
    assert len(numbers) == 4


def test_does_not_depend_on_how_addresses_are_batched():
    nodes, draws = np.arange(7), np.arange(5)
    table = counter_uniform(9, nodes[:, None], draws[None, :])
    assert table.shape == (7, 5)
    assert table.dtype == np.float64
    np.testing.assert_array_equal(counter_uniform(9, nodes[4:6, None], draws), table[4:6])
    assert counter_uniform(9, 4, 2) == table[4, 2]
    np.testing.assert_array_equal(counter_uniform(9, nodes.astype(np.int32), 2), table[:, 2])
    np.testing.assert_array_equal(counter_uniform(9, nodes[::-1], 2), table[::-1, 2])
    assert counter_uniform(1, nodes[:0]).shape == (0,)


def test_large_seeds_do_not_overflow():
    # Warnings are errors here.
    for seed in (2**63 - 1, 2**63, 2**64 - 1):
        u = counter_uniform(seed, seed, np.arange(3))
        assert ((u >= 0) & (u < 1)).all()
    assert counter_uniform(2**64 - 1) != counter_uniform(2**63 - 1)


def splitmix(address):
    """The definition in plain Python."""
    whole, state = 2**64 - 1, 0

    def mix(x):
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & whole
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB & whole
        return x ^ (x >> 31)

    for part in address:
        state = mix((state + 0x9E3779B97F4A7C15 + mix((part + 0x9E3779B97F4A7C15) & whole)) & whole)
    return state


def test_bits_are_those_of_the_definition():
    for address in ((0,), (1, 2, 3), (2**64 - 1, 5), (7, 2**40)):
        assert int(counter_bits(*address)) == splitmix(address)
        assert float(counter_uniform(*address)) == (splitmix(address) >> 11) / 2**53
    table = counter_bits(3, np.arange(4)[:, None], np.arange(5))
    assert table.dtype == np.uint64
    assert int(table[2, 4]) == splitmix((3, 2, 4))


def test_an_address_in_two_parts():
    nodes, number = np.arange(6), np.arange(3)
    first = counter_bits(9, 1, number)
    kept = first.copy()
    np.testing.assert_array_equal(
        counter_bits(nodes[:, None], after=first), counter_bits(9, 1, number, nodes[:, None])
    )
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(nodes, np.arange(6))
    assert counter_bits(4, after=counter_bits(2)) == counter_bits(2, 4)


@pytest.mark.parametrize(
    "address",
    [
        (np.arange(100_000),),
        (np.arange(100_000), 3),
        (np.arange(1000)[:, None], np.arange(100)),
        (2**40 + np.arange(100_000), 0, 7),
    ],
)
def test_uniform_and_uncorrelated(address):
    u = counter_uniform(*address).ravel()
    # 64 equal bins: chi-square with 63 degrees of freedom; 1e-6 of all true streams lie above 136.
    counts = np.bincount((u * 64).astype(int), minlength=64)
    expected = u.size / 64
    assert ((counts - expected) ** 2 / expected).sum() < 136
    assert np.unique(u).size == u.size
    for lag in (1, 2, 100):
        # A correlation of n independent pairs has standard deviation 1 / sqrt(n).
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 5 / u.size**0.5


def test_neighbouring_seeds_are_unrelated():
    first, second = (counter_uniform(seed, np.arange(50_000)) for seed in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / 50_000**0.5
