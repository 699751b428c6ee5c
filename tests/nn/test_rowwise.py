"""Optimisers of label tables in the loops they must work in."""

import io

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from graphrise.errors import ConfigError
from graphrise.nn import (
    LabelTable,
    RowwiseAdagrad,
    RowwiseRMSprop,
    RowwiseSGD,
    SampledSoftmax,
    Together,
)
from graphrise.nn.heads import Uniform
from graphrise.ops import reference

LABELS, DIM = 12, 3
ADAGRAD = RowwiseAdagrad, reference.rowwise_adagrad
RMSPROP = RowwiseRMSprop, reference.rowwise_rmsprop
KINDS = [RowwiseAdagrad, RowwiseRMSprop, RowwiseSGD]


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def table_of(dtype=torch.float64, **options):
    return LabelTable(LABELS, DIM, dtype=dtype, **options)


def backward(table, rows, step=0, times=1.0):
    """A loss on some rows; returns its gradient as a table of its own."""
    slope = drawn(len(rows), DIM, seed=step).to(table.state.dtype)
    rows = torch.tensor(rows, dtype=torch.long)
    (times * (table.gather(rows) * slope).sum()).backward()
    return torch.zeros(LABELS, DIM, dtype=slope.dtype).index_add(0, rows, slope)


STEPS = ([3, 1, 3], [0], [11, 3, 4], [], [1, 0])


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        (ADAGRAD, {}),
        (ADAGRAD, {"weight_decay": 0.1, "eps": 0.01}),
        (RMSPROP, {}),
        (RMSPROP, {"weight_decay": 0.1, "eps": 0.01, "alpha": 0.5}),
    ],
)
def test_the_dense_one_on_touched_rows(rule, options):
    kind, truth = rule
    table = table_of()
    weight, state = table.weight.clone(), table.state.clone()
    optimizer = kind([table], lr=0.2, **options)
    for step, rows in enumerate(STEPS):
        optimizer.zero_grad()
        gradient = backward(table, rows, step)
        optimizer.step()
        new = truth(weight, state, gradient, lr=0.2, **options)
        touched = torch.tensor(sorted(set(rows)), dtype=torch.long)
        weight[touched], state[touched] = new[0][touched], new[1][touched]
        torch.testing.assert_close(table.weight, weight, rtol=1e-13, atol=1e-14)
        torch.testing.assert_close(table.state, state, rtol=1e-13, atol=1e-14)
    never = [2, 5, 6, 7, 8, 9, 10]
    assert torch.equal(table.weight[never], table_of().weight[never])
    assert not table.state[never].any()


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_sgd_is_torchs_on_touched_rows(decay):
    table = table_of()
    dense = table.weight.clone().requires_grad_()
    optimizer = RowwiseSGD([table], lr=0.3, weight_decay=decay)
    plain = torch.optim.SGD([dense], lr=0.3, weight_decay=decay)
    every = list(range(LABELS))
    for step in range(3):
        optimizer.zero_grad()
        dense.grad = backward(table, every, step)
        optimizer.step()
        plain.step()
        torch.testing.assert_close(table.weight, dense.detach(), rtol=1e-13, atol=1e-14)
    before = table.weight.clone()
    optimizer.zero_grad()
    gradient = backward(table, [4, 4, 2])
    optimizer.step()
    others = [c for c in every if c not in (2, 4)]
    assert torch.equal(table.weight[others], before[others])
    want = before - 0.3 * (gradient + decay * before)
    torch.testing.assert_close(table.weight[[2, 4]], want[[2, 4]])
    assert not table.state.any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_follows_the_double_one(kind, dtype):
    table = table_of(dtype)
    exact = LabelTable(LABELS, DIM, weight=table.weight.double())
    options = {"lr": 0.05, "weight_decay": 0.1}
    optimizers = kind([table], seed=3, **options), kind([exact], **options)
    for step, rows in enumerate(STEPS):
        for one, optimizer in zip((table, exact), optimizers, strict=True):
            optimizer.zero_grad()
            backward(one, rows, step)
            optimizer.step()
    assert table.weight.dtype == dtype
    # A row was written three times at most, each time within a step of its values (below 4).
    error = (table.weight.double() - exact.weight).abs().max()
    assert error <= (3 * 2**-6 if dtype == torch.bfloat16 else 1e-5)
    assert torch.equal(table.weight[[2, 9]].double(), exact.weight[[2, 9]])


def test_bfloat16_rounds_by_seed_and_step():
    def trained(seed, steps, optimizer_state=None, weight=None):
        table = table_of(torch.bfloat16)
        if weight is not None:
            table.weight.copy_(weight)
        optimizer = RowwiseSGD([table], lr=0.01, seed=seed)
        if optimizer_state is not None:
            optimizer.load_state_dict(optimizer_state)
        for step in steps:
            optimizer.zero_grad()
            backward(table, list(range(LABELS)), step)
            optimizer.step()
        return table.weight, optimizer.state_dict()

    straight, _ = trained(1, range(4))
    assert torch.equal(straight, trained(1, range(4))[0])
    assert not torch.equal(straight, trained(2, range(4))[0])
    half, state = trained(1, range(2))
    assert torch.equal(straight, trained(1, range(2, 4), state, half)[0])
    state["steps"] = 0
    assert not torch.equal(straight, trained(1, range(2, 4), state, half)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_closure_gives_the_gradient_and_the_loss(kind):
    table, other = table_of(), table_of()
    optimizer, plain = kind([table], lr=0.1), kind([other], lr=0.1)

    def closure():
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        backward(table, [2, 7])
        return torch.tensor(1.5)

    assert float(optimizer.step(closure)) == 1.5
    backward(other, [2, 7])
    assert plain.step() is None
    assert torch.equal(table.weight, other.weight)
    assert not torch.equal(table.weight, table_of().weight)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_gradient_nothing_changes(kind):
    table = table_of()
    optimizer = kind([table], lr=1.0, weight_decay=0.5)
    optimizer.step()
    backward(table, [1])
    optimizer.zero_grad()
    optimizer.step()
    assert torch.equal(table.weight, table_of().weight)


def test_several_tables_keep_their_gradients_apart():
    tables = [table_of(seed=s) for s in range(3)]
    before = [t.weight.clone() for t in tables]
    optimizer = RowwiseSGD(tables, lr=1.0)
    gradients = [backward(tables[0], [1, 2], 1), None, backward(tables[2], [5], 2)]
    optimizer.step()
    for table, old, gradient in zip(tables, before, gradients, strict=True):
        want = old if gradient is None else old - gradient
        torch.testing.assert_close(table.weight, want)


@pytest.mark.parametrize("kind", KINDS)
def test_state_there_and_back(kind):
    table = table_of()
    optimizer = kind([table], lr=0.5, weight_decay=0.25)
    optimizer.param_groups[0]["lr"] = 0.125
    for step in range(3):
        backward(table, [step])
        optimizer.step()
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    other = kind([table_of()])
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert other.state_dict() == optimizer.state_dict()
    assert other.state_dict()["steps"] == 3
    group = other.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.125, 0.25)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_sets_the_step_size(kind):
    table, by_hand = table_of(), table_of()
    optimizer, plain = kind([table], lr=0.4), kind([by_hand], lr=0.4)
    schedule = LambdaLR(optimizer, lambda step: 1 / (1 + step))
    for step in range(3):
        for one in (table, by_hand):
            one.gradient.grad = None
            backward(one, [step, 5], step)
        plain.param_groups[0]["lr"] = 0.4 / (1 + step)
        optimizer.step()
        plain.step()
        schedule.step()
    assert torch.equal(table.weight, by_hand.weight)
    assert schedule.get_last_lr() == [0.1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("set_to_none", [True, False])
def test_accumulated_batches_are_one(kind, set_to_none):
    table, once = table_of(), table_of()
    optimizer, plain = kind([table], lr=0.1), kind([once], lr=0.1)
    for step in range(3):
        optimizer.zero_grad(set_to_none=set_to_none)
        plain.zero_grad()
        backward(table, [1, 2 + step], step)
        backward(table, [2 + step, 9, 1], step + 9)
        one, two = drawn(2, DIM, seed=step), drawn(3, DIM, seed=step + 9)
        rows = torch.tensor([1, 2 + step, 2 + step, 9, 1])
        (once.gather(rows) * torch.cat((one, two))).sum().backward()
        optimizer.step()
        plain.step()
        torch.testing.assert_close(table.weight, once.weight)
        torch.testing.assert_close(table.state, once.state)


@pytest.mark.parametrize("kind", KINDS)
def test_under_a_gradient_scaler(kind):
    table, plain = table_of(torch.float32), table_of(torch.float32)
    optimizer, other = kind([table], lr=0.1), kind([plain], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(2):
        optimizer.zero_grad()
        other.zero_grad()
        found = table.gather(torch.tensor([4, 1, 4]))
        scaler.scale((found * drawn(3, DIM, seed=step).float()).sum()).backward()
        assert table.gradient.grad is not None
        scaled = table.gradient.grad.clone()
        scaler.unscale_(optimizer)
        # A power of two: exact.
        assert torch.equal(table.gradient.grad, scaled / 1024)
        torch.nn.utils.clip_grad_norm_([table.gradient], 0.5)
        scaler.step(optimizer)
        scaler.update()
        backward(plain, [4, 1, 4], step)
        torch.nn.utils.clip_grad_norm_([plain.gradient], 0.5)
        other.step()
        torch.testing.assert_close(table.weight, plain.weight)
    assert not torch.equal(table.weight, table_of(torch.float32).weight)
    before, steps = table.weight.clone(), optimizer.state_dict()["steps"]
    optimizer.zero_grad()
    scaler.scale((table.gather(torch.tensor([4])) * torch.inf).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(table.weight, before)
    assert optimizer.state_dict()["steps"] == steps
    assert scaler.get_scale() == 512


def pair(seed=0):
    """An encoder, a head, and the optimiser of both."""
    encoder = torch.nn.Linear(5, DIM, dtype=torch.float64)
    with torch.no_grad():
        encoder.weight.copy_(drawn(DIM, 5, seed=seed))
        encoder.bias.zero_()
    head = SampledSoftmax(table_of(seed=seed), Uniform(LABELS, 4))
    adam = torch.optim.AdamW(encoder.parameters(), lr=0.1)
    return encoder, head, Together(adam, RowwiseAdagrad([head.table], lr=0.2))


def train(encoder, head, optimizer, schedule, steps):
    x, images = drawn(6, 5, seed=9), torch.arange(6)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = head(encoder(x), images, images + 3, torch.ones(6, dtype=torch.float64))
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def fall(step):
    return 0.9**step


def test_together_is_each_on_its_own():
    encoder, head, both = pair()
    losses = train(encoder, head, both, LambdaLR(both, fall), 6)
    other, same, parts = pair()
    x, images = drawn(6, 5, seed=9), torch.arange(6)
    for step in range(6):
        for optimizer, lr in zip(parts.optimizers, (0.1, 0.2), strict=True):
            optimizer.param_groups[0]["lr"] = lr * fall(step)
            optimizer.zero_grad()
        loss = same(other(x), images, images + 3, torch.ones(6, dtype=torch.float64))
        assert loss.item() == pytest.approx(losses[step], rel=1e-12)
        loss.backward()
        for optimizer in parts.optimizers:
            optimizer.step()
    torch.testing.assert_close(head.table.weight, same.table.weight)
    torch.testing.assert_close(encoder.weight, other.weight)


def test_together_learns():
    encoder, head, both = pair()
    losses = train(encoder, head, both, LambdaLR(both, fall), 30)
    assert losses[-1] < losses[0] / 2


def test_together_resumes():
    encoder, head, both = pair()
    schedule = LambdaLR(both, fall)
    train(encoder, head, both, schedule, 3)
    buffer = io.BytesIO()
    torch.save((both.state_dict(), schedule.state_dict()), buffer)
    buffer.seek(0)
    encoder_2, head_2, both_2 = pair(seed=1)
    schedule_2 = LambdaLR(both_2, fall)
    train(encoder_2, head_2, both_2, schedule_2, 1)
    encoder_2.load_state_dict(encoder.state_dict())
    head_2.load_state_dict(head.state_dict())
    head_2.table.weight.copy_(head.table.weight)
    head_2.table.state.copy_(head.table.state)
    state, of_schedule = torch.load(buffer, weights_only=True)
    both_2.load_state_dict(state)
    schedule_2.load_state_dict(of_schedule)
    groups = [g for o in both_2.optimizers for g in o.param_groups]
    assert len(groups) == len(both_2.param_groups) == 2
    assert all(mine is theirs for mine, theirs in zip(both_2.param_groups, groups, strict=True))
    want = train(encoder, head, both, schedule, 3)
    assert train(encoder_2, head_2, both_2, schedule_2, 3) == want
    assert [g["lr"] for g in groups] == pytest.approx([0.1 * 0.9**6, 0.2 * 0.9**6])
    assert torch.equal(head_2.table.weight, head.table.weight)
    assert torch.equal(encoder_2.weight, encoder.weight)


def test_together_with_a_closure():
    encoder, head, both = pair()
    before = encoder.weight.clone(), head.table.weight.clone()
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        both.zero_grad()
        images = torch.arange(6)
        z = encoder(drawn(6, 5, seed=9))
        loss = head(z, images, images, torch.ones(6, dtype=torch.float64))
        loss.backward()
        return loss

    assert both.step(closure).item() > 0
    assert calls == [True]
    assert not torch.equal(encoder.weight, before[0])
    assert not torch.equal(head.table.weight, before[1])


def test_together_refuses():
    with pytest.raises(ConfigError, match="at least one optimizer"):
        Together()
    _, _, both = pair()
    state = both.state_dict()
    for wrong in (state["optimizers"][:1], state["optimizers"] * 2):
        with pytest.raises(ConfigError, match=f"{len(wrong)} states for 2"):
            both.load_state_dict({"optimizers": wrong})
