"""Logits and margins by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from graphrise.errors import ConfigError
from graphrise.nn.heads import LogitRule


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_linear_logits_are_divided_by_the_temperature():
    z, labels = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [0.0, -1.0]])
    assert LogitRule().all(z, labels).tolist() == [[11, -2]]
    assert LogitRule(temperature=0.5).all(z, labels).tolist() == [[22, -4]]
    own = torch.tensor([11.0, -2.0])
    assert torch.equal(LogitRule(temperature=0.5).own(own), own)


def test_cosine_logits_do_not_know_lengths():
    rule = LogitRule(scale=10)
    z, labels = torch.tensor([[0.0, 7.0]]), torch.tensor([[3.0, 4.0], [0.0, -0.1]])
    assert rule.all(z, labels).tolist() == [pytest.approx([8, -10])]
    z, labels = drawn(5, 3), drawn(9, 3, seed=1)
    want = 10 * F.cosine_similarity(z[:, None], labels[None], dim=2)
    torch.testing.assert_close(rule.all(z * 1e3, labels * 1e-3), want)


def test_nothing_of_nothing():
    for rule in (LogitRule(), LogitRule(scale=2, margin="arcface", margin_size=0.5)):
        assert rule.all(drawn(0, 3), drawn(4, 3)).shape == (0, 4)
        assert rule.all(drawn(2, 3), drawn(0, 3)).shape == (2, 0)
        assert rule.own(drawn(0)).shape == (0,)
        # A zero vector has no direction, but no NaN either.
        assert (
            rule.all(drawn(2, 3), torch.zeros(4, 3, dtype=torch.float64)).tolist() == [[0] * 4] * 2
        )


@pytest.mark.parametrize("margin", ["arcface", "cosface"])
def test_margins_by_hand(margin):
    scale, size = 16.0, 0.3
    rule = LogitRule(scale=scale, margin=margin, margin_size=size)
    theta = torch.tensor([0.01, 0.5, 1.5, 2.8], dtype=torch.float64)
    got = rule.own(scale * theta.cos())
    if margin == "arcface":
        want = [scale * math.cos(t + size) for t in theta.tolist()]
    else:
        want = [scale * (math.cos(t) - size) for t in theta.tolist()]
    assert got.tolist() == pytest.approx(want, rel=1e-9)
    # Of the own labels alone: the others' logits have no margin.
    z, labels = drawn(2, 3), drawn(4, 3, seed=1)
    assert torch.equal(rule.all(z, labels), LogitRule(scale=scale).all(z, labels))


@pytest.mark.parametrize("margin", ["arcface", "cosface"])
def test_a_margin_of_nothing_changes_nothing(margin):
    logits = 4 * drawn(3, 2).tanh()
    assert torch.equal(LogitRule(scale=4, margin=margin).own(logits), logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("beyond", [1.0, 1 + 1e-6])
def test_arcface_is_finite_at_both_ends(dtype, beyond):
    # Cosines computed in floating point may lie past 1.
    rule = LogitRule(scale=64, margin="arcface", margin_size=0.5)
    logits = (torch.tensor([1, -1], dtype=dtype) * 64 * beyond).requires_grad_()
    got = rule.own(logits)
    want = [64 * math.cos(0.5), 64 * (-1 - 0.5 * math.sin(0.5))]
    assert got.tolist() == pytest.approx(want, abs=0.1)
    (gradient,) = torch.autograd.grad(got.sum(), logits)
    assert gradient.isfinite().all()


def test_arcface_has_the_gradient_of_its_formula():
    rule = LogitRule(scale=8, margin="arcface", margin_size=0.4)
    logits = (8 * torch.linspace(-0.99, 0.99, 12, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(rule.own, (logits,))


@pytest.mark.parametrize("size", [0.1, 0.5, 1.5])
def test_arcface_falls_with_the_angle_past_half_a_turn_too(size):
    rule = LogitRule(scale=30, margin="arcface", margin_size=size)
    theta = torch.linspace(0.01, math.pi - 0.01, 300, dtype=torch.float64)
    assert bool((theta + size > math.pi).any())
    got = rule.own(30 * theta.cos())
    assert (got[1:] < got[:-1]).all()
    assert (got < 30 * theta.cos()).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, "above 0"),
        ({"scale": -1.0}, "above 0"),
        ({"temperature": 0.0}, "above 0"),
        ({"scale": 2.0, "temperature": 0.5}, "give one of both"),
        ({"scale": 2.0, "margin": "sphereface"}, "not 'sphereface'"),
        ({"margin": "arcface", "margin_size": 0.5}, "needs cosines"),
        ({"scale": 2.0, "margin": "cosface", "margin_size": -0.1}, "negative"),
    ],
)
def test_refuses_what_makes_no_logits(options, message):
    with pytest.raises(ConfigError, match=f"logits: .*{message}"):
        LogitRule(**options)


@pytest.mark.parametrize(
    "rule", [LogitRule(), LogitRule(temperature=0.3), LogitRule(scale=7.0)], ids=str
)
def test_factors_are_of_the_same_logits(rule):
    z, labels, bias = drawn(5, 3), drawn(9, 3, seed=1), drawn(9, seed=2)
    bias = bias if rule.scale is None else None
    left, right, added = rule.factors(z, labels, bias)
    logits = left @ right.T if added is None else left @ right.T + added
    torch.testing.assert_close(logits, rule.all(z, labels, bias))
    assert rule.factors(z, labels)[2] is None
    assert (added is None) == (bias is None)
