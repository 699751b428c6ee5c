"""Paired differences against scipy, and the exact test by its definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphrise.errors import DataError
from graphrise.study.stats import paired, sign_flip, t_quantile, t_two_sided

VALUES = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8, unique=True
)  # fmt: skip


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 29, 30, 101])
def test_students_t_is_scipys(freedom):
    stats = pytest.importorskip("scipy.stats")
    for t in (0.0, 0.1, 1.0, 2.5, 7.0, -3.0):
        assert t_two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(abs(t), freedom), abs=1e-13)
    for share in (0.5, 0.6, 0.9, 0.975, 0.999):
        expected = stats.t.ppf(share, freedom)
        assert t_quantile(share, freedom) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 14])
def test_the_paired_test_is_scipys(n):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(n)
    base = rng.random(n)
    run = base + 0.05 + 0.1 * rng.standard_normal(n)
    found, expected = paired(run.tolist(), base.tolist()), stats.ttest_rel(run, base)
    assert found.p_t == pytest.approx(expected.pvalue, rel=1e-9)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.mean == pytest.approx((run - base).mean())
    assert found.seeds == n
    assert (found.p_sign is None) == (n > 12)
    if n <= 8:
        exact = stats.permutation_test(
            (run - base,), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert found.p_sign == pytest.approx(exact.pvalue)


@given(VALUES)
def test_sign_flips_by_definition(pairs):
    differences = [a - b for a, b in pairs]
    size = sum(map(abs, differences))
    patterns = list(itertools.product((-1, 1), repeat=len(differences)))
    sums = [abs(sum(s * d for s, d in zip(p, differences, strict=True))) for p in patterns]
    reached = sum(s >= abs(sum(differences)) - 1e-9 * size for s in sums)
    least = sum(s >= abs(sum(differences)) + 1e-9 * size for s in sums)
    p = sign_flip(differences)
    assert least / len(patterns) <= p <= reached / len(patterns)
    assert 2 / len(patterns) <= p <= 1


@pytest.mark.parametrize(("n", "least"), [(1, 1.0), (2, 0.5), (3, 0.25), (6, 0.03125)])
def test_what_few_seeds_can_say(n, least):
    found = paired([0.5 + 0.01 * i for i in range(n)], [0.1] * n)
    assert found.p_sign == found.least_p_sign == least


def test_no_spread_no_interval():
    found = paired([0.5, 0.5], [0.25, 0.25])
    assert (found.mean, found.low, found.high, found.p_t) == (0.25, None, None, None)
    assert found.p_sign == 0.5
    one = paired([0.5], [0.25])
    assert (one.low, one.p_t, one.p_sign) == (None, None, 1.0)


@pytest.mark.parametrize(("run", "base"), [([], []), ([1.0], [1.0, 2.0])])
def test_what_cannot_be_paired(run, base):
    with pytest.raises(DataError, match="cannot be paired"):
        paired(run, base)
