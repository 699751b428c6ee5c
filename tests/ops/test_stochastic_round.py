"""Rounding to bfloat16: to a neighbour, right on average."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphrise.errors import ConfigError
from graphrise.ops.stochastic_round import stochastic_round


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def neighbours(x):
    """The bfloat16 values towards zero and away from it, as float32."""
    bits = x.contiguous().view(torch.int32)
    low = bits & -(1 << 16)
    high = torch.where(bits == low, low, low + (1 << 16))
    return low.view(torch.float32), high.view(torch.float32)


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20),
    st.integers(0, 99),
)
def test_every_result_is_a_neighbour(values, seed):
    x = torch.tensor(values, dtype=torch.float32)
    got = stochastic_round(x, generator(seed))
    assert (got.dtype, got.shape) == (torch.bfloat16, x.shape)
    low, high = neighbours(x)
    assert ((got.float() == low) | (got.float() == high)).all()
    assert torch.equal(got.signbit(), x.signbit())


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("share", [1 / 65536, 0.1, 0.5, 0.9])
def test_the_mean_is_the_value(sign, share):
    # Between 1 and the next bfloat16, 1 + 2^-7.
    part = round(share * 65536) / 65536
    n = 200_000
    got = stochastic_round(torch.full((n,), sign * (1 + part / 128)), generator())
    up = (got.double().abs() > 1).double().mean()
    assert abs(up - part) <= 4 * (part * (1 - part) / n) ** 0.5
    nearest = torch.full((n,), sign * (1 + part / 128)).to(torch.bfloat16)
    assert got.double().mean() != nearest.double().mean()


def test_small_steps_add_up():
    x = torch.ones(2000, dtype=torch.bfloat16)
    plain = x.clone()
    chance = generator()
    for _ in range(100):
        x = stochastic_round(x.float() + 2**-11, chance)
        plain = (plain.float() + 2**-11).to(torch.bfloat16)
    assert (plain == 1).all()
    # One of 16 steps moves by 2^-7; 4 standard errors of the mean.
    error = 4 * 2**-7 * (100 / 16 / 2000) ** 0.5
    assert abs(x.double().mean() - (1 + 100 * 2**-11)) <= error


def test_what_bfloat16_holds_stays():
    largest = torch.finfo(torch.bfloat16).max
    x = torch.tensor([0.0, -0.0, 1.0, -2.5, 2.0**-130, largest, -largest, torch.inf, -torch.inf])
    for seed in range(20):
        got = stochastic_round(x, generator(seed)).float()
        assert torch.equal(got, x)
        assert torch.equal(got.signbit(), x.signbit())
    # Not even one whose low bits would overflow into another number.
    bits = torch.tensor([0x7F800001, 0x7FFFFFFF, -1, 0x7FC00000], dtype=torch.int64)
    assert stochastic_round(bits.to(torch.int32).view(torch.float32), generator()).isnan().all()


def test_repeats_with_its_generator():
    x = torch.randn(1000, generator=generator())
    first = stochastic_round(x, generator(5))
    assert torch.equal(first, stochastic_round(x, generator(5)))
    assert not torch.equal(first, stochastic_round(x, generator(6)))


def test_any_shape_and_stride():
    whole = torch.randn(6, 8, generator=generator())
    strided = whole[::2, ::3]
    assert not strided.is_contiguous()
    got = stochastic_round(strided, generator(1))
    assert torch.equal(got, stochastic_round(strided.contiguous(), generator(1)))
    assert stochastic_round(torch.tensor(1.5), generator()).shape == ()
    assert stochastic_round(torch.empty(0, 3), generator()).shape == (0, 3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int32])
def test_refuses_another_dtype(dtype):
    with pytest.raises(ConfigError, match=f"must be float32, got {dtype}"):
        stochastic_round(torch.ones(2, dtype=dtype))
