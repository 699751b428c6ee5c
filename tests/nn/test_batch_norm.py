"""Running statistics that stay as they are."""

import copy

import pytest
import timm
import torch
from torch import nn

from graphrise.nn.batch_norm import batch_norms, statistics_kept


@pytest.mark.parametrize("momentum", [0.1, None])
def test_normalises_by_the_batch_and_keeps_the_statistics(momentum):
    norm = nn.BatchNorm2d(3, momentum=momentum)
    for seed in range(2):
        norm(torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(seed)))
    before, x = copy.deepcopy(norm.state_dict()), torch.randn(4, 3, 5, 5)
    other = copy.deepcopy(norm)
    with statistics_kept([norm]):
        found = norm(x)
    assert torch.equal(found, other(x))
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name]), name
    # And goes on afterwards as if nothing had been.
    norm(x)
    for name, value in other.state_dict().items():
        assert torch.equal(norm.state_dict()[name], value), name


def test_puts_the_layers_back_after_an_error():
    norm = nn.BatchNorm1d(3, momentum=0.3)
    with pytest.raises(ValueError, match="more than 1 value"), statistics_kept([norm]):
        norm(torch.randn(1, 3))
    assert norm.momentum == 0.3
    assert norm.num_batches_tracked is not None


@pytest.mark.parametrize(
    ("name", "has"), [("test_resnet", True), ("test_efficientnet", True), ("test_vit", False)]
)
def test_layers_of_timm(name, has):
    model = timm.create_model(name, num_classes=0)
    norms = batch_norms(model)
    assert bool(norms) == has
    before = {k: v.clone() for k, v in model.state_dict().items()}
    size = 160 if name == "test_vit" else 32
    with statistics_kept(norms):
        model.train()(torch.randn(2, 3, size, size))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_layers_without_running_statistics_are_left_out():
    assert batch_norms(nn.BatchNorm1d(2, track_running_stats=False)) == []
