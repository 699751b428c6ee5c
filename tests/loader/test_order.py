"""Which images make up a batch: a permutation, cut evenly, no image left alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.loader.order import EpochOrder, EvenBatches
from graphrise.loader.sampler import PairSampler


@pytest.fixture(scope="session")
def sampler(make):
    return PairSampler(make.made_graph(3, []), 1)


@settings(max_examples=50, deadline=None)
@given(length=st.integers(0, 40), size=st.integers(1, 12), epoch=st.integers(0, 3))
def test_even_cuts(sampler, length, size, epoch):
    order = EpochOrder(length, 7, sampler)
    batches = EvenBatches(order, size)
    batches.set_epoch(epoch)
    found = list(batches)
    assert [n for batch in found for n in batch] == list(order)
    assert sorted(order) == list(range(length))
    assert len(batches) == len(found)
    sizes = [len(batch) for batch in found]
    if sizes:
        assert max(sizes) - min(sizes) <= 1
        alone = min(sizes) == 1
        assert not alone or size == 1 or length == 1
        assert max(sizes) <= size or (max(sizes) == size + 1 and -(-length // size) > len(found))
    if length > 2 * size:
        assert max(sizes) <= size or size <= 2


def test_an_epoch_is_a_function_of_seed_and_epoch(sampler):
    order = EpochOrder(50, 2, sampler)
    seen = []
    for epoch in (0, 1, 0):
        order.set_epoch(epoch)
        assert sampler.epoch == epoch
        seen.append(list(order))
    assert sorted(seen[0]) == list(range(50)) == sorted(seen[1])
    assert seen[0] == seen[2] != seen[1]
    assert len(order) == 50
    assert list(EpochOrder(50, 3, sampler)) != seen[0]
