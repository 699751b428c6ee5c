"""Further embeddings of images: what a loop over them would give, from one call and one sample."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.nn.heads import (
    FullSoftmax,
    InBatch,
    LabelTable,
    LogitRule,
    LogUniform,
    Mixed,
    PartialFC,
    SampledSoftmax,
    ShardedSoftmax,
    Uniform,
    Views,
    full,
)
from graphrise.ops.reference import cross_entropy as reference

LABELS, DIM = 9, 4
FREQUENCY = torch.arange(LABELS, 0, -1.0)
ARC = LogitRule(scale=8.0, margin="arcface", margin_size=0.3)


def table():
    return LabelTable(LABELS, DIM, dtype=torch.float64, seed=1)


HEADS = {
    "full": lambda smoothing: FullSoftmax(DIM, LABELS, smoothing=smoothing).double(),
    "margin": lambda smoothing: FullSoftmax(DIM, LABELS, rule=ARC, smoothing=smoothing).double(),
    "log-uniform": lambda smoothing: SampledSoftmax(
        table(), LogUniform(LABELS, 3, seed=5), smoothing=smoothing
    ),
    "in batch": lambda smoothing: SampledSoftmax(table(), InBatch(FREQUENCY), smoothing=smoothing),
    "mixed": lambda smoothing: SampledSoftmax(
        table(), Mixed(InBatch(FREQUENCY), Uniform(LABELS, 2)), smoothing=smoothing
    ),
    "partial": lambda smoothing: PartialFC(table(), 3, smoothing=smoothing),
    "sharded": lambda smoothing: ShardedSoftmax(
        table(), LogUniform(LABELS, 3, seed=5), smoothing=smoothing
    ),
}


def batch(seed=0, images=4):
    """(z, row, index, weight): image i has i mod 3 labels, entries in no order."""
    generator = torch.Generator().manual_seed(seed)
    row = torch.tensor([i for i in range(images) for _ in range(i % 3)], dtype=torch.long)
    row = row[torch.randperm(len(row), generator=generator)]
    index = torch.empty_like(row)
    weight = torch.rand(len(row), generator=generator, dtype=torch.float64)
    for image in range(images):
        mine = row == image
        index[mine] = torch.randperm(LABELS, generator=generator)[: int(mine.sum())]
        weight[mine] /= weight[mine].sum()
    return torch.randn(images, DIM, generator=generator, dtype=torch.float64), row, index, weight


def views_of(images, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, DIM, generator=generator, dtype=torch.float64)
    image = torch.randint(0, images, (count,), generator=generator)
    weight = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    return z, Views(image, weight)


@settings(max_examples=80, deadline=None)
@given(
    row=st.lists(st.integers(0, 4), max_size=12),
    image=st.lists(st.integers(0, 4), max_size=6),
)
def test_entries_by_a_loop(row, image):
    of = torch.tensor(row, dtype=torch.long)
    views = Views(torch.tensor(image, dtype=torch.long), torch.ones(len(image), 1))
    place, entry = views.entries(of, 5)
    assert place[: len(row)].tolist() == row
    assert entry[: len(row)].tolist() == list(range(len(row)))
    want = [(5 + v, e) for v, u in enumerate(image) for e, r in enumerate(row) if r == u]
    assert list(zip(place.tolist(), entry.tolist(), strict=True))[len(row) :] == want


def by_a_loop(head, z, weight, batch, views, step):
    """`[1 + T]`: every embedding by itself, over all labels and how often each was sampled."""
    _, row, index, share = batch
    images = len(batch[0])
    if isinstance(head, FullSoftmax):
        count = torch.ones(LABELS, dtype=torch.float64)
    else:
        drawn = head.negatives.draw(step, index)
        expected = drawn.expected(torch.arange(LABELS)) if head._corrected else 1.0
        count = torch.bincount(drawn.index, minlength=LABELS).double() / expected
        if not head._corrected:
            count[index] = 1.0
    losses = []
    for vector, image in zip(z, [*range(images), *views.image.tolist()], strict=True):
        mine = row == image
        logits = head.rule.all(vector.unsqueeze(0), weight)
        own = head.rule.own(logits[0, index[mine]])
        entries = (torch.zeros_like(row[mine]), index[mine], share[mine], count)
        options = {"smoothing": head.smoothing, "num_labels": LABELS}
        losses.append(reference.sampled_cross_entropy(logits, own, *entries, **options)[0])
    sums = [
        sum(w * loss for w, loss in zip(column, losses[images:], strict=True))
        for column in views.weight.T
    ]
    return torch.stack([sum(losses[:images]), *sums]) / images  # pyright: ignore


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("name", HEADS)
def test_losses_and_gradients_by_a_loop(name, smoothing):
    head, given, (more, views) = HEADS[name](smoothing), batch(), views_of(4, 6)
    weight = head.weight.detach() if isinstance(head, FullSoftmax) else head.table.weight
    weight = weight.clone().requires_grad_()
    for step in range(2):
        z, same = (torch.cat((given[0], more)).requires_grad_() for _ in range(2))
        found = head(z, *given[1:], views)
        want = by_a_loop(head, same, weight, given, views, step)
        torch.testing.assert_close(found, want, rtol=0, atol=1e-10)
        # Each of the three sums by another factor.
        scale = torch.tensor([1.0, 0.3, -2.0], dtype=torch.float64)
        weight.grad = None
        (found * scale).sum().backward()
        (want * scale).sum().backward()
        torch.testing.assert_close(z.grad, same.grad, rtol=0, atol=1e-10)
        torch.testing.assert_close(gradient_of(head), weight.grad, rtol=0, atol=1e-10)


def gradient_of(head):
    """To all label vectors; it is taken off."""
    if isinstance(head, FullSoftmax):
        found, head.weight.grad = head.weight.grad, None
        return found
    found = torch.zeros(LABELS, DIM, dtype=torch.float64)
    found[head.table.touched] = head.table.gradient.grad
    head.table.gradient.grad = None
    return found


def test_losses_that_hold_no_logits(monkeypatch):
    head, given, (more, views) = HEADS["full"](0.1), batch(), views_of(4, 6)
    z = torch.cat((given[0], more))
    held = head(z, *given[1:], views)
    monkeypatch.setattr(full, "_LARGE", 1)
    torch.testing.assert_close(head(z, *given[1:], views), held, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", HEADS)
def test_the_images_loss_and_the_steps_are_those_without_views(name):
    one, other, given = HEADS[name](0.1), HEADS[name](0.1), batch()
    other.load_state_dict(one.state_dict())
    more, views = views_of(4, 6)
    for _ in range(3):
        plain = one(*given)
        found = other(torch.cat((given[0], more)), *given[1:], views)
        torch.testing.assert_close(found[0], plain, rtol=0, atol=1e-12)
    assert one.state_dict().keys() == other.state_dict().keys()
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])


@pytest.mark.parametrize("name", HEADS)
def test_views_of_nothing(name):
    head, given = HEADS[name](0.1).eval(), batch()
    none = Views(torch.empty(0, dtype=torch.long), torch.empty(0, 2))
    found = head(*given, none)
    torch.testing.assert_close(found[0], head(*given))
    assert found[1:].tolist() == [0, 0]


@pytest.mark.parametrize("name", ["full", "log-uniform", "sharded"])
def test_views_of_images_without_labels_cost_nothing(name):
    head, (more, _) = HEADS[name](0.1), views_of(3, 2)
    none = torch.empty(0, dtype=torch.long)
    views = Views(torch.tensor([0, 2]), torch.ones(2, 1))
    z = torch.cat((batch(images=3)[0], more)).requires_grad_()
    found = head(z, none, none, none.double(), views)
    found.sum().backward()
    assert found.tolist() == [0, 0]
    assert z.grad is not None
    assert not z.grad.any()
