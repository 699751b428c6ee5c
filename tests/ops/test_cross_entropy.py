"""Soft-label cross-entropy against the dense truth."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError
from graphrise.ops import reference
from graphrise.ops.cross_entropy import soft_cross_entropy

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def drawn(rows, classes, per_row, seed=0):
    """Logits and `per_row` labels a row with shares that sum to 1, in float64."""
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    row = torch.arange(rows).repeat_interleave(per_row)
    index = torch.cat(
        [torch.randperm(classes, generator=generator)[:per_row] for _ in range(rows)]
        or [torch.empty(0, dtype=torch.long)]
    )
    share = torch.rand(rows, per_row, generator=generator, dtype=torch.float64) + 0.1
    weight = (share / share.sum(dim=1, keepdim=True)).ravel()
    return logits, row, index, weight


def test_by_hand():
    # p = (1, 2, 5) / 8 and, for the second image, even thirds.
    logits = torch.tensor([[1.0, 2.0, 5.0], [1.0, 1.0, 1.0]]).log()
    row, index = torch.tensor([0, 0, 1]), torch.tensor([0, 2, 1])
    weight = torch.tensor([0.25, 0.75, 1.0])
    plain = [0.25 * math.log(8) + 0.75 * math.log(8 / 5), math.log(3)]
    assert soft_cross_entropy(logits, row, index, weight).tolist() == pytest.approx(plain)
    # With smoothing 0.3 the first target is 0.7 (0.25, 0, 0.75) + 0.1 each.
    smooth = [
        0.275 * math.log(8) + 0.1 * math.log(4) + 0.625 * math.log(8 / 5),
        math.log(3),
    ]
    assert soft_cross_entropy(logits, row, index, weight, 0.3).tolist() == pytest.approx(smooth)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("rows", "classes", "per_row"), [(6, 1000, 4), (1, 2, 1), (0, 3, 1)])
def test_no_worse_than_plain_torch(dtype, index_dtype, smoothing, rows, classes, per_row):
    exact, row, index, weight = drawn(rows, classes, per_row)
    logits, share = exact.to(dtype), weight.float()
    truth = reference.soft_cross_entropy(logits.double(), row, index, share.double(), smoothing)
    got = soft_cross_entropy(logits, row.to(index_dtype), index.to(index_dtype), share, smoothing)
    assert got.shape == (rows,)
    assert got.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    error = (got.double() - truth).abs()
    plain = reference.soft_cross_entropy(logits, row, index, share, smoothing)
    assert (error <= (plain.double() - truth).abs() + 1e-6 * (1 + truth)).all()


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 5),
    classes=st.integers(1, 7),
    entries=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 6), st.floats(0.01, 1)), max_size=12
    ),
    smoothing=st.sampled_from([0.0, 0.5]),
)
def test_any_entries_in_any_order(rows, classes, entries, smoothing):
    # Duplicates of an entry add up; a row without one has loss 0.
    logits = drawn(rows, classes, 1, seed=len(entries))[0]
    row = torch.tensor([r % rows for r, _, _ in entries], dtype=torch.long)
    index = torch.tensor([k % classes for _, k, _ in entries], dtype=torch.long)
    weight = torch.tensor([w for _, _, w in entries], dtype=torch.float64)
    want = reference.soft_cross_entropy(logits, row, index, weight, smoothing)
    got = soft_cross_entropy(logits, row, index, weight, smoothing)
    torch.testing.assert_close(got, want)
    back = torch.arange(len(entries)).flip(0)
    strided = torch.stack((logits, logits), dim=2)[:, :, 0]
    again = soft_cross_entropy(strided, row[back], index[back], weight[back], smoothing)
    torch.testing.assert_close(again, want)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_an_image_without_a_label_has_no_loss_and_no_gradient(smoothing):
    logits = drawn(3, 5, 1)[0].requires_grad_()
    row, index = torch.tensor([0, 2]), torch.tensor([4, 1])
    loss = soft_cross_entropy(logits, row, index, torch.ones(2), smoothing)
    alone = soft_cross_entropy(
        logits[[0, 2]], torch.tensor([0, 1]), index, torch.ones(2), smoothing
    )
    assert loss.tolist() == [alone[0].item(), 0.0, alone[1].item()]
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert not gradient[1].any()
    assert gradient[0].any()
    nobody = soft_cross_entropy(logits, row[:0], index[:0], torch.ones(0), smoothing)
    assert nobody.tolist() == [0, 0, 0]


def test_equals_torch_on_hard_labels():
    logits, row, index, _ = drawn(5, 9, 1)
    for smoothing in (0.0, 0.1):
        want = torch.nn.functional.cross_entropy(
            logits, index, reduction="none", label_smoothing=smoothing
        )
        got = soft_cross_entropy(logits, row, index, torch.ones(5), smoothing)
        torch.testing.assert_close(got, want)


def test_huge_logits_stay_finite():
    logits = torch.tensor([[1e4, -1e4, 0.0]])
    one = torch.zeros(1, dtype=torch.long)
    assert soft_cross_entropy(logits, one, one, torch.ones(1)).item() == 0
    assert soft_cross_entropy(logits, one, one + 1, torch.ones(1)).item() == 2e4


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradient(smoothing):
    logits, row, index, weight = drawn(3, 5, 2)
    inputs = (logits.requires_grad_(), weight.requires_grad_())
    assert torch.autograd.gradcheck(
        lambda x, w: soft_cross_entropy(x, row, index, w, smoothing), inputs
    )


def test_refuses_other_shapes():
    logits, row, index, weight = drawn(3, 5, 2)
    with pytest.raises(ConfigError, match="smoothing must lie in"):
        soft_cross_entropy(logits, row, index, weight, 1.0)
    with pytest.raises(ConfigError, match=r"smoothing.*-0\.1"):
        soft_cross_entropy(logits, row, index, weight, -0.1)
    with pytest.raises(ConfigError, match=r"logits must be \[B, C\].*got \[5\]"):
        soft_cross_entropy(logits[0], row, index, weight)
    with pytest.raises(ConfigError, match=r"\[6\], \[6\], \[5\]"):
        soft_cross_entropy(logits, row, index, weight[:5])
    with pytest.raises(ConfigError, match=r"\[1, 6\]"):
        soft_cross_entropy(logits, row[None], index[None], weight[None])
