"""The label head and the edge term by hand, and how they add up."""

import math

import pytest
import torch

from graphrise.errors import ConfigError
from graphrise.nn.heads import FullSoftmax, LogitRule, full
from graphrise.nn.regularizer import EdgeRegularizer


def test_soft_labels_by_hand():
    head = FullSoftmax(2, 3, smoothing=0.0)
    assert head.bias is not None
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
        head.bias.copy_(torch.tensor([0.0, 0.0, math.log(2)]))
    z = torch.tensor([[math.log(3), math.log(4)], [0.0, 0.0]])
    # Exponentials of the logits: (3, 4, 2) of 9, and (1, 1, 2) of 4.
    row, index = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2])
    weight = torch.tensor([0.25, 0.75, 1.0])
    first = 0.25 * math.log(9 / 3) + 0.75 * math.log(9 / 4)
    second = math.log(4 / 2)
    assert head(z, row, index, weight).item() == pytest.approx((first + second) / 2)
    head.smoothing = 0.3
    smooth_first = 0.275 * math.log(3) + 0.625 * math.log(9 / 4) + 0.1 * math.log(9 / 2)
    smooth_second = 0.2 * math.log(4) + 0.8 * math.log(2)
    want = (smooth_first + smooth_second) / 2
    assert head(z, row, index, weight).item() == pytest.approx(want)


def test_cosine_logits_by_hand():
    head = FullSoftmax(2, 2, rule=LogitRule(scale=5.0), smoothing=0.0)
    assert head.bias is None
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[3.0, 4.0], [0.0, -2.0]]))
    z = torch.tensor([[1.0, 0.0]])
    torch.testing.assert_close(head.logits(z), torch.tensor([[3.0, 0.0]]))
    one = torch.zeros(1, dtype=torch.long)
    loss = head(z, one, one, torch.ones(1))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-3)))


def test_no_label_is_refused():
    with pytest.raises(ConfigError, match="at least one label"):
        FullSoftmax(4, 0)
    assert FullSoftmax(4, 1)(torch.ones(2, 4), *no_entries()).item() == 0


@pytest.mark.parametrize("block", [1, 7, 30, 1 << 16])
@pytest.mark.parametrize("scale", [None, 5.0])
def test_top_labels_are_those_of_the_logits(scale, block):
    torch.manual_seed(0)
    head = FullSoftmax(4, 30, rule=LogitRule(scale=scale))
    if head.bias is not None:
        torch.nn.init.normal_(head.bias)
    z = torch.randn(6, 4, requires_grad=True)
    for k in (1, 5, 30):
        score, label = head.top_labels(z, k, block)
        want = head.logits(z).topk(k, dim=1)
        torch.testing.assert_close(score, want.values)
        assert torch.equal(label, want.indices)
        assert not score.requires_grad
    assert head.top_labels(z[:0], 3, block)[1].shape == (0, 3)
    for k in (0, 31):
        with pytest.raises(ConfigError, match=rf"k must be in 1..30, got {k}"):
            head.top_labels(z, k)


def no_entries():
    none = torch.empty(0, dtype=torch.long)
    return none, none, torch.empty(0)


def test_edge_term_by_hand():
    z = torch.tensor([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0]])
    index = torch.tensor([[0, 0, 1], [1, 2, 2]])
    coefficient = torch.tensor([0.5, 2.0, 1.0])
    # d = 25, 1, 4 + 16 = 20.
    want = (0.5 * 25 + 2 * 1 + 20) / 2
    assert EdgeRegularizer()(z, index, coefficient, 2).item() == pytest.approx(want)
    nothing = EdgeRegularizer()(z, index[:, :0], coefficient[:0], 2)
    assert nothing.item() == 0


def test_edge_term_pulls_both_ends():
    z = torch.tensor([[0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    EdgeRegularizer()(z, torch.tensor([[0], [1]]), torch.ones(1), 1).backward()
    assert z.grad is not None
    assert z.grad.tolist() == [[-2.0, 0.0], [2.0, 0.0]]


def test_a_margin_keeps_float64():
    head = FullSoftmax(2, 3, rule=LogitRule(scale=5.0, margin="cosface", margin_size=0.2)).double()
    one = torch.zeros(1, dtype=torch.long)
    z = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    loss = head(z, one, one, torch.ones(1, dtype=torch.float64))
    assert loss.dtype == torch.float64
    own = head.logits(z)
    own[0, 0] -= 5.0 * 0.2
    p = own.log_softmax(1)
    want = -(0.9 * p[0, 0] + 0.1 * p.mean())
    assert loss.item() == pytest.approx(want.item(), rel=1e-12)


RULES = {
    "linear": LogitRule(),
    "temperature": LogitRule(temperature=0.5),
    "cosine": LogitRule(scale=5.0),
}


def batch(images=6, labels=50, dim=4):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(images, dim, generator=generator).requires_grad_()
    row = torch.tensor([0, 0, 2, 3, 5])
    index = torch.randint(0, labels, (5,), generator=generator)
    return z, row, index, torch.tensor([0.25, 0.75, 1.0, 1.0, 1.0])


def losses_and_gradients(head, z, *entries):
    loss = head(z, *entries)
    return [loss, *torch.autograd.grad(loss, [z, *head.parameters()])]


@pytest.mark.parametrize("rule", RULES)
def test_many_logits_are_not_held_and_change_nothing(monkeypatch, rule):
    head, entries = FullSoftmax(4, 50, rule=RULES[rule]), batch()
    if head.bias is not None:
        torch.nn.init.normal_(head.bias)
    want = losses_and_gradients(head, *entries)
    monkeypatch.setattr(full, "_LARGE", 6 * 50 + 1)
    assert all(map(torch.equal, losses_and_gradients(head, *entries), want))
    monkeypatch.setattr(full, "_LARGE", 6 * 50)
    monkeypatch.setattr(full, "soft_cross_entropy", None)
    got = losses_and_gradients(head, *entries)
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_logits_that_are_not_held_are_not_rounded_under_autocast(monkeypatch):
    monkeypatch.setattr(full, "_LARGE", 1)
    head, (z, *entries) = FullSoftmax(4, 50), batch()
    want = head(z.bfloat16().float(), *entries)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = head(z.bfloat16(), *entries)
    assert got.dtype == torch.float32
    assert torch.equal(got, want)


def test_a_margin_holds_its_logits(monkeypatch):
    rule = LogitRule(scale=5.0, margin="arcface", margin_size=0.3)
    head, entries = FullSoftmax(4, 50, rule=rule), batch()
    want = losses_and_gradients(head, *entries)
    monkeypatch.setattr(full, "_LARGE", 1)
    assert all(map(torch.equal, losses_and_gradients(head, *entries), want))
