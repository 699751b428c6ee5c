"""Shares of a gap: Fieller's interval against the test that it inverts, and gaps that are none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphrise.errors import DataError
from graphrise.study.gap import gap_by_seed, gap_closed
from graphrise.study.stats import paired


@given(
    st.integers(2, 8), st.floats(-0.2, 0.4), st.floats(0.0, 0.4), st.integers(0, 2**32 - 1)
)  # fmt: skip
def test_the_interval_is_what_the_t_test_does_not_refuse(n, gain, gap, seed):
    rng = np.random.default_rng(seed)
    base = rng.normal(0.3, 0.02, n)
    run, upper = base + rng.normal(gain, 0.01, n), base + rng.normal(gap, 0.01, n)
    found = gap_closed(run.tolist(), base.tolist(), upper.tolist())
    of_gap = paired(upper.tolist(), base.tolist())
    assert of_gap.low is not None
    assert (found is not None) == (of_gap.low > 0)
    if found is None:
        return
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.closed <= found.high
    assert found.closed == pytest.approx((run - base).mean() / (upper - base).mean())
    for end in (found.low, found.high):
        refused = paired((run - base).tolist(), (end * (upper - base)).tolist())
        assert refused.p_t == pytest.approx(0.05, rel=1e-4)


def test_the_share_of_ninety_five_intervals_that_hold_the_truth():
    rng, held, trials = np.random.default_rng(0), 0, 2000
    for _ in range(trials):
        base = rng.normal(0.3, 0.02, 3)
        run, upper = base + rng.normal(0.1, 0.01, 3), base + rng.normal(0.2, 0.01, 3)
        found = gap_closed(run.tolist(), base.tolist(), upper.tolist())
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.5 <= found.high
    assert held / trials == pytest.approx(0.95, abs=0.015)


def test_a_constant_gap_is_the_paired_interval_over_it():
    run, base = [0.61, 0.63, 0.66], [0.50, 0.52, 0.54]
    found, difference = gap_closed(run, base, [b + 0.2 for b in base]), paired(run, base)
    assert found is not None
    assert difference.low is not None
    assert difference.high is not None
    assert found.closed == pytest.approx(difference.mean / 0.2)
    expected = (difference.low / 0.2, difference.high / 0.2)
    assert (found.low, found.high) == pytest.approx(expected)


def test_the_references_themselves():
    base, upper = [0.50, 0.52, 0.54], [0.70, 0.71, 0.75]
    whole, none = gap_closed(upper, base, upper), gap_closed(base, base, upper)
    assert whole is not None
    assert none is not None
    assert (whole.closed, whole.low, whole.high) == pytest.approx((1, 1, 1))
    assert (none.closed, none.low, none.high) == pytest.approx((0, 0, 0))


@pytest.mark.parametrize(
    "upper",
    [
        pytest.param([0.51, 0.49, 0.56], id="within noise"),
        pytest.param([0.40, 0.41, 0.44], id="below"),
        pytest.param([0.50, 0.52, 0.54], id="the same"),
    ],
)
def test_no_gap_no_share(upper):
    assert gap_closed([0.6, 0.6, 0.6], [0.50, 0.52, 0.54], upper) is None


def test_one_seed_tells_no_noise():
    assert gap_closed([0.6], [0.5], [0.7]) is None


def test_no_spread_no_interval():
    found = gap_closed([0.5, 0.5], [0.25, 0.25], [0.75, 0.75])
    assert found is not None
    assert (found.closed, found.low, found.high) == (0.5, None, None)


def test_seeds_that_all_three_have():
    base, upper = {0: 0.5, 1: 0.5, 2: 0.1}, {1: 0.7, 0: 0.7}
    found = gap_by_seed({0: 0.6, 1: 0.6, 3: 0.9}, base, upper)
    assert found is not None
    assert found.seeds == 2
    assert found.closed == pytest.approx(0.5)
    assert gap_by_seed({5: 0.6}, base, upper) is None


def test_what_cannot_be_paired():
    with pytest.raises(DataError, match="2, 1 and 1 values cannot be paired"):
        gap_closed([0.1, 0.2], [0.1], [0.2])
