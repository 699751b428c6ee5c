"""What updates the weights: one step by hand, and which parameters have which rate."""

import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR

from graphrise.config import TrainConfig
from graphrise.train.schedule import rate

PLAIN_NET = {"name": "test_convnext", "normalize": False}


def optimizer_and(module):
    return module.configure_optimizers()["optimizer"]


def test_sgd_steps_as_written(make, loop):
    train = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.8, "weight_decay": 0.01}
    module = loop.module(make, encoder=PLAIN_NET, train=train)
    optimizer = optimizer_and(module)
    weight, bias = module.encoder.projection.weight, module.encoder.projection.bias
    want = {id(p): p.detach().clone() for p in (weight, bias)}
    velocity = {id(p): torch.zeros_like(p) for p in (weight, bias)}
    for _ in range(3):
        for parameter, decay in ((weight, 0.01), (bias, 0.0)):
            parameter.grad = torch.full_like(parameter, 0.5)
            at = id(parameter)
            gradient = 0.5 + decay * want[at]
            velocity[at] = 0.8 * velocity[at] + gradient
            # Nesterov: a look ahead along the velocity.
            want[at] = want[at] - 0.1 * (gradient + 0.8 * velocity[at])
        optimizer.step()
    for parameter in (weight, bias):
        torch.testing.assert_close(parameter.detach(), want[id(parameter)])


def test_sgd_without_momentum(make, loop):
    train = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.0}
    module = loop.module(make, encoder=PLAIN_NET, train=train)
    bias = module.encoder.projection.bias
    before = bias.detach().clone()
    bias.grad = torch.ones_like(bias)
    optimizer = optimizer_and(module)
    optimizer.step()
    torch.testing.assert_close(bias.detach(), before - 0.1)


@pytest.mark.parametrize("kind", ["full", "sampled"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_backbone_may_have_a_rate_of_its_own(make, loop, optimizer, kind):
    module = loop.module(
        make,
        encoder={"lr_factor": 0.1},
        head={"kind": kind, "num_negatives": 2, "lr": 0.7},
        train={"optimizer": optimizer, "lr": 0.01, "weight_decay": 0.3},
    )
    rates = {
        id(p): (group["lr"], group["weight_decay"])
        for group in optimizer_and(module).param_groups
        for p in group["params"]
    }
    for name, parameter in module.named_parameters():
        lr, decay = rates.pop(id(parameter))
        assert lr == pytest.approx(0.001 if "backbone" in name else 0.01), name
        assert decay == (0.3 if parameter.dim() > 1 else 0.0), name
    rows = [] if kind == "full" else [(0.7, 0.05)]
    assert list(rates.values()) == rows


def test_every_group_follows_the_schedule(make, loop):
    module = loop.module(
        make,
        encoder={"lr_factor": 0.1},
        train={"lr": 0.01, "passes": 100, "warmup": 0.5, "schedule": "cosine"},
    )
    found = module.configure_optimizers()
    module.passes = 25
    found["optimizer"].step()
    found["lr_scheduler"]["scheduler"].step()
    rates = sorted({g["lr"] for g in found["optimizer"].param_groups})
    assert rates == pytest.approx([0.0005, 0.005])


def test_one_cycle_is_that_of_torch():
    total = 10_001
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = OneCycleLR(
        optimizer, 1.0, total, pct_start=0.3, anneal_strategy="linear", cycle_momentum=False
    )
    train = TrainConfig(schedule="one_cycle", warmup=0.3)
    for step in range(total):
        if step % 500 == 0:
            want = optimizer.param_groups[0]["lr"]
            assert rate(train, step / (total - 1)) == pytest.approx(want, abs=1e-3)
        optimizer.step()
        if step < total - 1:
            theirs.step()
    assert rate(train, 0.0) == pytest.approx(1 / 25)
    assert rate(train, 1.0) == 0.0


def test_a_constant_rate():
    train = TrainConfig(schedule="constant", warmup=0.2)
    assert rate(train, 0.1) == pytest.approx(0.5)
    assert [rate(train, f) for f in (0.2, 0.6, 1.0)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant"])
def test_every_schedule_begins_above_zero_and_peaks_at_one(schedule):
    for warmup in (0.0, 0.3):
        train = TrainConfig(schedule=schedule, warmup=warmup)
        rates = [rate(train, i / 100) for i in range(101)]
        assert rates[0] > 0
        assert max(rates) == pytest.approx(1.0)
        assert rates.index(max(rates)) == 100 * warmup
