"""Which images make up a batch: a permutation, cut evenly over batches and ranks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError
from graphrise.loader.order import EvenBatches, Shuffled


def batches_of(order, size, epoch, rank=0, world_size=1):
    batches = EvenBatches(order, size, rank=rank, world_size=world_size)
    batches.epoch = epoch
    return [batches.batch(b).tolist() for b in range(len(batches))]


@settings(max_examples=100, deadline=None)
@given(length=st.integers(0, 60), size=st.integers(1, 12), epoch=st.integers(0, 3))
def test_even_cuts(length, size, epoch):
    order = Shuffled(length, 7)
    found = batches_of(order, size, epoch)
    whole = order.at(epoch, np.arange(length)).tolist()
    assert [n for batch in found for n in batch] == whole
    assert sorted(whole) == list(range(length))
    sizes = [len(batch) for batch in found]
    if sizes:
        assert max(sizes) - min(sizes) <= 1
        alone = min(sizes) == 1
        assert not alone or size == 1 or length == 1
        assert max(sizes) <= size or (max(sizes) == size + 1 and -(-length // size) > len(found))
    if length > 2 * size:
        assert max(sizes) <= size or size <= 2


@settings(max_examples=150, deadline=None)
@given(
    length=st.integers(3, 80),
    size=st.integers(1, 9),
    world=st.integers(1, 3),
    epoch=st.integers(0, 2),
)
def test_ranks_share_out_the_same_epoch(length, size, world, epoch):
    order = Shuffled(length, 3)
    parts = [batches_of(order, size, epoch, rank, world) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1
    # Step by step the ranks' parts make up one stretch of the order.
    seen = [n for step in zip(*parts, strict=True) for part in step for n in part]
    assert seen == order.at(epoch, np.arange(length)).tolist()
    sizes = [len(batch) for part in parts for batch in part]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1
    assert min(sizes) > 1 or size == 1 or length < 2 * world
    if length >= 2 * size * world and size > 1:
        assert max(sizes) <= size + (size == 2)


def test_as_few_batches_as_there_can_be():
    assert len(EvenBatches(Shuffled(100, 0), 10)) == 10
    assert len(EvenBatches(Shuffled(101, 0), 10)) == 11
    assert len(EvenBatches(Shuffled(101, 0), 10, world_size=2)) == 6
    assert len(EvenBatches(Shuffled(0, 0), 10)) == 0


def test_an_epoch_is_a_function_of_seed_and_epoch():
    order = Shuffled(50, 2)
    seen = [order.at(epoch, np.arange(50)).tolist() for epoch in (0, 1, 0)]
    assert sorted(seen[0]) == list(range(50)) == sorted(seen[1])
    assert seen[0] == seen[2] != seen[1]
    assert len(order) == 50
    for other in (Shuffled(50, 3), Shuffled(50, 2, stream=3)):
        assert other.at(0, np.arange(50)).tolist() != seen[0]


def test_a_table_changes_nothing(monkeypatch):
    place = np.array([3, 49, 0])
    tabled = [Shuffled(50, 2).at(epoch, place).tolist() for epoch in (0, 1)]
    monkeypatch.setattr("graphrise.loader.order._TABLE", 49)
    assert [Shuffled(50, 2).at(epoch, place).tolist() for epoch in (0, 1)] == tabled


@pytest.mark.parametrize(
    ("size", "rank", "world"), [(0, 0, 1), (-1, 0, 1), (2, 1, 1), (2, -1, 2), (2, 0, 0)]
)
def test_numbers_out_of_range(size, rank, world):
    with pytest.raises(ConfigError, match=rf"got {size}, rank {rank} of {world}"):
        EvenBatches(Shuffled(9, 0), size, rank=rank, world_size=world)


def test_more_ranks_than_images():
    with pytest.raises(ConfigError, match="2 labelled images for 3 ranks"):
        EvenBatches(Shuffled(2, 0), 4, world_size=3)
