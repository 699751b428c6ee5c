"""The numbers of a batch: labelled images, unlabelled ones, and those for the bank."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError
from graphrise.loader.grouped import Grouped
from graphrise.loader.order import EvenBatches, Shuffled
from graphrise.loader.plan import BatchPlan, roles


def plan_of(labelled, unlabelled, size=4, rank=0, world=1, order=None, **options):
    """A plan over nodes in which every third of the first ones is labelled."""
    nodes = np.arange(labelled + unlabelled)
    has = np.zeros(nodes.size, dtype=bool)
    has[np.random.default_rng(8).permutation(nodes.size)[:labelled]] = True
    batches = EvenBatches(order or Shuffled(labelled, 1), size, rank=rank, world_size=world)
    return BatchPlan(batches, nodes[has], nodes.size, unlabelled=nodes[~has], seed=1, **options)


def epoch_of(plan, epoch):
    """Of every batch of an epoch: labelled, unlabelled and swept images, as lists."""
    plan.set_epoch(epoch)
    return [
        tuple(part.tolist() for part in roles(np.array(codes), plan.numbers // 3)) for codes in plan
    ]


def every(plan, epoch, role):
    return [n for batch in epoch_of(plan, epoch) for n in batch[role]]


@settings(max_examples=60, deadline=None)
@given(
    labelled=st.integers(3, 40),
    unlabelled=st.integers(0, 30),
    size=st.integers(1, 8),
    world=st.integers(1, 3),
    ratio=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
)
def test_ranks_are_disjoint_and_together_everything(labelled, unlabelled, size, world, ratio):
    plans = [plan_of(labelled, unlabelled, size, rank, world, ratio=ratio) for rank in range(world)]
    for epoch in range(2):
        seeds = [n for plan in plans for n in every(plan, epoch, 0)]
        assert sorted(seeds) == plans[0]._nodes.tolist()
        others = [n for plan in plans for n in every(plan, epoch, 1)]
        assert set(others) <= set(plans[0]._unlabelled.tolist())
        counts = np.unique(others, return_counts=True)[1]
        if labelled * ratio <= unlabelled:
            assert (counts == 1).all()
            assert len(others) == int(labelled * ratio)
        elif unlabelled:
            # Everyone once before anyone twice; one batch across two rounds may hold one only once.
            assert counts.size == unlabelled
            assert len(others) <= int(labelled * ratio)


def test_unlabelled_images_take_turns():
    plan = plan_of(60, 7, size=3, ratio=1.0)
    assert len(plan) == 20
    seen = np.array([np.bincount(b[1], minlength=67) for b in epoch_of(plan, 0)]).cumsum(axis=0)
    seen = seen[:, plan._unlabelled]
    # Never two rounds ahead of another; a batch that two rounds meet in may skip a turn.
    drawn = 3 * np.arange(1, 21)
    assert (seen.max(axis=1) <= -(-drawn // 7)).all()
    assert (seen.sum(axis=1)[:2] == [3, 6]).all()
    assert seen[-1].min() >= 60 // 7 - 2
    orders = [every(plan, epoch, 1) for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]


def test_every_turn_has_its_own_order():
    # One labelled image a batch, and one unlabelled.
    turns = np.array(every(plan_of(63, 9, size=1, ratio=1.0), 0, 1)).reshape(7, 9)
    assert all(len(set(turn)) == 9 for turn in turns.tolist())
    assert np.unique(turns, axis=0).shape[0] == 7


def test_batches_hold_no_image_twice():
    plan = plan_of(20, 5, size=10, ratio=3.0, sweep_every=1, sweep_size=9)
    for _, others, sweep in epoch_of(plan, 0):
        assert len(set(others)) == len(others)
        assert len(set(sweep)) == len(sweep) == 5


def test_the_grouped_order_is_an_epoch_too(make, graphs):
    graph = graphs.graph_of_kinds(make, 60, 150)
    nodes, _ = graphs.labelled_of(graph)
    order = Grouped(graph, nodes, 4, seed=2)
    for world in (1, 2, 3):
        plans = [
            BatchPlan(EvenBatches(order, 5, rank=r, world_size=world), nodes, 60)
            for r in range(world)
        ]
        for epoch in range(2):
            seen = [n for plan in plans for n in every(plan, epoch, 0)]
            assert sorted(seen) == nodes.tolist()
            sizes = [len(b[0]) for plan in plans for b in epoch_of(plan, epoch)]
            assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("world", [1, 2])
def test_the_sweep_goes_on_over_epochs_and_reaches_everyone(world):
    plans = [
        plan_of(28, 23, size=4, rank=rank, world=world, sweep_every=3, sweep_size=4)
        for rank in range(world)
    ]
    length = len(plans[0])
    assert length % 3 != 0
    swept, number = np.zeros(51, dtype=int), 0
    for epoch in range(12):
        for step in zip(*(epoch_of(plan, epoch) for plan in plans), strict=True):
            for batch in step:
                assert len(batch[2]) == (4 if number % 3 == 0 else 0)
                swept[batch[2]] += 1
            number += 1
            # Round after round, whatever the epoch and the rank.
            assert np.ptp(swept[plans[0]._unlabelled]) <= 1
    assert number == 12 * length
    assert swept.sum() == world * 4 * -(-number // 3)
    assert swept[plans[0]._unlabelled].min() >= 1
    assert swept[plans[0]._nodes].max() == 0


def test_iteration_may_start_anywhere():
    whole = plan_of(30, 10, ratio=0.5, sweep_every=2, sweep_size=2)
    whole.set_epoch(3)
    batches = list(whole)
    assert len(batches) == len(whole)
    assert all(isinstance(n, int) for batch in batches for n in batch)
    assert max(n for batch in batches for n in batch) < whole.numbers
    for first in range(len(whole) + 1):
        part = plan_of(30, 10, ratio=0.5, sweep_every=2, sweep_size=2)
        part.sampler.set_epoch(3)
        part.first = first
        assert list(part) == batches[first:]


@given(codes=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), unique=True))
def test_roles_take_numbers_apart(codes):
    numbers = np.array([role * 10 + node for role, node in codes], dtype=np.int64)
    for role, found in enumerate(roles(numbers, 10)):
        assert found.tolist() == [node for r, node in codes if r == role]


def test_without_unlabelled_images_there_are_none():
    plan = plan_of(9, 0, ratio=2.0, sweep_every=1, sweep_size=3)
    assert every(plan, 0, 1) == every(plan, 0, 2) == []
    # And none unless asked for.
    plain = plan_of(9, 9)
    assert every(plain, 0, 1) == every(plain, 0, 2) == []


@pytest.mark.parametrize(
    "options", [{"ratio": -0.1}, {"sweep_every": 0, "sweep_size": 2}, {"sweep_every": 1}]
)
def test_numbers_out_of_range(options):
    with pytest.raises(ConfigError, match="ratio must not be negative, sweep_every and sweep_size"):
        plan_of(4, 4, **options)
