"""Cross-entropy over a weighted sample of labels against a plain loop."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError
from graphrise.ops import reference
from graphrise.ops.sampled_cross_entropy import sampled_cross_entropy

SMOOTHINGS = [{}, {"smoothing": 0.1, "num_labels": 40}]


def drawn(images, columns, per_image, seed=0, unlabelled=()):
    """Arguments of the loss in float64; some columns count nothing, own logits have a margin."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(images, columns, generator=generator, dtype=torch.float64)
    labelled = [i for i in range(images) if i not in unlabelled]
    row = torch.tensor(labelled, dtype=torch.long).repeat_interleave(per_image)
    column = torch.cat(
        [torch.randperm(columns, generator=generator)[:per_image] for _ in labelled]
        or [torch.empty(0, dtype=torch.long)]
    )
    share = torch.rand(len(labelled), per_image, generator=generator, dtype=torch.float64) + 0.1
    weight = (share / share.sum(dim=1, keepdim=True)).ravel()
    count = 4 * torch.rand(columns, generator=generator, dtype=torch.float64)
    count[torch.rand(columns, generator=generator) < 0.3] = 0
    return logits, logits[row, column] - 0.3, row, column, weight, count


def test_by_hand():
    # Exponentials 1, 2, 5 that count 3, 0, 2; the own one is column 1.
    logits = torch.tensor([[1.0, 2.0, 5.0]]).log()
    zero, count = torch.zeros(1, dtype=torch.long), torch.tensor([3.0, 0.0, 2.0])
    own = logits[:, 1]
    loss = sampled_cross_entropy(logits, own, zero, zero + 1, torch.ones(1), count)
    assert loss.tolist() == [pytest.approx(math.log((3 + 2 + 10) / 2))]
    # Also if it was sampled: it counts once.
    count[1] = 9
    again = sampled_cross_entropy(logits, own, zero, zero + 1, torch.ones(1), count)
    assert again.tolist() == [pytest.approx(math.log((3 + 2 + 10) / 2))]
    smooth = sampled_cross_entropy(
        logits, own, zero, zero + 1, torch.ones(1), count, smoothing=0.2, num_labels=6
    )
    mean = (3 * math.log(1) + math.log(2) + 2 * math.log(5)) / 6
    want = 0.8 * math.log(15 / 2) + 0.2 * (math.log(15) - mean)
    assert smooth.tolist() == [pytest.approx(want)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("options", SMOOTHINGS)
@pytest.mark.parametrize(
    ("images", "columns", "per_image", "unlabelled"),
    [
        (6, 31, 3, (2,)),
        (1, 1, 1, ()),
        (3, 4, 4, ()),
        (2, 5, 1, (0, 1)),
        (0, 3, 1, ()),
        (2, 9, 1, ()),
    ],
)
def test_no_worse_than_a_plain_loop(dtype, options, images, columns, per_image, unlabelled):
    exact = drawn(images, columns, per_image, unlabelled=unlabelled)
    inputs = [x.to(dtype) if x.is_floating_point() else x for x in exact]
    true = [x.double() if x.is_floating_point() else x for x in inputs]
    truth = reference.sampled_cross_entropy(*true, **options)
    got = sampled_cross_entropy(*inputs, **options)
    assert (got.shape, got.dtype) == ((images,), dtype)
    plain = reference.sampled_cross_entropy(*inputs, **options)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    error = (got.double() - truth).abs()
    assert (error <= (plain.double() - truth).abs() + tolerance * (1 + truth.abs())).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_every_column_once_is_the_full_softmax(smoothing):
    logits, _, row, column, weight, count = drawn(5, 12, 3, unlabelled=(1,))
    inputs = logits.requires_grad_(), row, column, weight
    want = reference.soft_cross_entropy(*inputs, smoothing)
    got = sampled_cross_entropy(
        logits, logits[row, column], *inputs[1:], torch.ones_like(count),
        smoothing=smoothing, num_labels=12,
    )  # fmt: skip
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    assert got[1].item() == 0
    gradients = [torch.autograd.grad(x.sum(), logits)[0] for x in (got, want)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    pairs=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=9),
    order=st.randoms(use_true_random=False),
    smoothing=st.sampled_from([0.0, 0.4]),
)
def test_any_entries_in_any_order(pairs, order, smoothing):
    entries = sorted(pairs)
    order.shuffle(entries)
    logits, _, _, _, _, count = drawn(4, 5, 1, seed=len(entries))
    row, column = torch.tensor(entries, dtype=torch.long).reshape(-1, 2).T
    weight = 1 / torch.bincount(row, minlength=4)[row].double()
    strided = torch.stack((logits, logits), dim=2)[:, :, 0]
    got = sampled_cross_entropy(
        strided, logits[row, column], row, column, weight, count, smoothing=smoothing, num_labels=7
    )
    want = reference.sampled_cross_entropy(
        logits, logits[row, column], row, column, weight, count, smoothing=smoothing, num_labels=7
    )
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("options", SMOOTHINGS)
def test_gradient(options):
    logits, own, row, column, weight, count = drawn(4, 6, 2, unlabelled=(2,))
    inputs = (logits.requires_grad_(), own.requires_grad_())
    assert torch.autograd.gradcheck(
        lambda x, y: sampled_cross_entropy(x, y, row, column, weight, count, **options), inputs
    )


@pytest.mark.parametrize("options", SMOOTHINGS)
def test_an_image_without_a_label_has_no_loss_and_no_gradient(options):
    logits, own, row, column, weight, count = drawn(3, 5, 1, unlabelled=(1,))
    loss = sampled_cross_entropy(
        logits.requires_grad_(), own, row, column, weight, count, **options
    )
    assert loss[1].item() == 0
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert not gradient[1].any()
    assert gradient[0].any()
    # Nor where nothing counts, or nothing is there.
    none = row[:0], row[:0], weight[:0]
    for columns in (5, 0):
        x = torch.zeros(2, columns, dtype=torch.float64, requires_grad=True)
        nothing = sampled_cross_entropy(x, own[:0], *none, torch.zeros_like(count[:columns]))
        assert nothing.tolist() == [0, 0]
        (gradient,) = torch.autograd.grad(nothing.sum(), x)
        assert not gradient.any()


def test_a_column_that_counts_nothing_changes_nothing():
    logits, own, row, column, weight, count = drawn(4, 6, 1)
    count[0] = 0
    column = column.clamp(min=1)
    own = logits[row, column]
    want = sampled_cross_entropy(logits, own, row, column, weight, count)
    logits[:, 0] = 1e6
    assert torch.equal(sampled_cross_entropy(logits, own, row, column, weight, count), want)


def test_huge_logits_stay_finite():
    zero, count = torch.zeros(1, dtype=torch.long), torch.tensor([2.0, 1.0, 0.0])
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    for column, want in ((0, 0.0), (1, 2e4 + math.log(2))):
        own = logits[:, column]
        loss = sampled_cross_entropy(logits, own, zero, zero + column, torch.ones(1), count)
        assert loss.item() == pytest.approx(want, rel=1e-6)
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        assert gradient.isfinite().all()


def test_refuses_other_shapes():
    logits, own, row, column, weight, count = drawn(3, 5, 2)
    for bad in (
        (logits[0], own, row, column, weight, count),
        (logits, own[1:], row, column, weight, count),
        (logits, own, row[1:], column, weight, count),
        (logits, own, row, column[1:], weight, count),
        (logits, own, row, column, weight[1:], count),
        (logits, own, row, column, weight, count[1:]),
    ):
        with pytest.raises(ConfigError, match=r"logits \[B, R\], count \[R\].*; got \["):
            sampled_cross_entropy(*bad)
    with pytest.raises(ConfigError, match="smoothing needs num_labels"):
        sampled_cross_entropy(logits, own, row, column, weight, count, smoothing=0.1)
