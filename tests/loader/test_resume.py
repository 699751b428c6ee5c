"""Going on where a run was cut off: the next batches are those that would have come."""

import json

import numpy as np
import pytest
import torch

from graphrise.loader.batch import TrainingLoader, without_edges
from graphrise.loader.grouped import Grouped
from graphrise.loader.order import EvenBatches
from graphrise.loader.plan import BatchPlan
from graphrise.loader.subgraph import SubgraphSampler

pytestmark = [
    # Python warns of fork in a process with threads; torch's workers fork all the same.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning"),
    # Torch warns of more workers than this process has cores.
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


@pytest.fixture
def new(make, graphs):
    """A function that makes a loader anew, as another process would."""
    graph = graphs.graph_of_kinds(make, 40, 120, seed=2)
    labelled, rest = graphs.labelled_of(graph)

    def loader(**options):
        order = Grouped(graph, labelled, 3, seed=4)
        plan = BatchPlan(
            EvenBatches(order, 4), labelled, 40, unlabelled=rest, ratio=0.5, sweep_every=3,
            sweep_size=2, seed=4,
        )  # fmt: skip
        sampler = SubgraphSampler(graph, (1,), labels=graph.labels["given"], seed=4)
        return TrainingLoader(
            without_edges(graph), graphs.Numbers(), graph.labels["given"], sampler, plan, **options
        )

    return loader


def plain(batch):
    return {key: torch.as_tensor(batch[key]).tolist() for key in batch.keys()}  # noqa: SIM118


def epoch_of(loader, epoch):
    loader.set_epoch(epoch)
    return [plain(batch) for batch in loader]


@pytest.mark.parametrize(
    "options", [{"prefetch": 0}, {"prefetch": 2}, {"workers": 2}], ids=["plain", "ahead", "workers"]
)
def test_from_every_cut_on(new, options):
    whole = [epoch_of(new(), epoch) for epoch in (1, 2)]
    length = len(whole[0])
    assert length >= 4
    for cut in range(length + 1) if "workers" not in options else (0, 3):
        loader = new(**options)
        loader.set_epoch(1)
        batches = iter(loader)
        for _ in range(cut):
            next(batches)
        # As a checkpoint keeps it.
        state = json.loads(json.dumps(loader.state_dict()))
        assert state == {"epoch": 1, "batch": cut}
        again = new(**options)
        again.load_state_dict(state)
        over = cut == length  # then the next epoch begins
        assert again.state_dict() == ({"epoch": 2, "batch": 0} if over else state)
        assert [plain(batch) for batch in again] == (whole[1] if over else whole[0][cut:])
        # The epoch after it is a whole one.
        assert epoch_of(again, 2) == whole[1]


def test_a_cut_of_a_resumed_epoch(new):
    whole = epoch_of(new(), 3)
    loader = new()
    loader.load_state_dict({"epoch": 3, "batch": 1})
    batches = iter(loader)
    assert [plain(next(batches)) for _ in range(2)] == whole[1:3]
    assert loader.state_dict() == {"epoch": 3, "batch": 3}


@pytest.mark.parametrize("prefetch", [0, 3])
def test_an_iteration_that_was_broken_off_starts_anew(new, prefetch):
    whole, loader = epoch_of(new(), 1), new(prefetch=prefetch)
    loader.set_epoch(1)
    for _ in loader:
        break
    assert loader.state_dict()["batch"] == 1
    assert [plain(batch) for batch in loader] == whole
    assert loader.state_dict()["batch"] == len(whole)


def test_state_before_the_first_batch(new):
    loader = new()
    assert loader.state_dict() == {"epoch": 0, "batch": 0}
    loader.set_epoch(5)
    assert loader.state_dict() == {"epoch": 5, "batch": 0}
    # The count is of batches given, whatever was made ahead.
    batches = iter(loader)
    next(batches)
    assert loader.state_dict() == {"epoch": 5, "batch": 1}
    np.testing.assert_equal(len(loader), len(list(new())))
