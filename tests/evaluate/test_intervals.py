"""Bootstrap intervals against scipy, against clusters of copies, and by how often they hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.intervals import Interval, bootstrap_interval
from graphrise.evaluate.per_query import PerQuery


def test_equal_to_scipy_up_to_chance():
    values = np.random.default_rng(0).beta(2, 3, 150)
    found = bootstrap_interval(values, n_resamples=8000, confidence_level=0.9)
    want = bootstrap(
        (values,),
        np.mean,
        n_resamples=8000,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    # A resampled mean has a standard deviation of 0.016.
    assert found.low == pytest.approx(want.low, abs=0.0015)
    assert found.high == pytest.approx(want.high, abs=0.0015)
    assert found.mean == pytest.approx(values.mean())


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=30),
    copies=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_copies_in_one_cluster_count_once(values, copies, seed):
    single = bootstrap_interval(np.array(values), n_resamples=200, seed=seed)
    assert single.low <= single.high
    repeated, cluster = np.repeat(values, copies), np.repeat(np.arange(len(values)), copies)
    shuffled = np.random.default_rng(seed).permutation(len(repeated))
    found = bootstrap_interval(repeated[shuffled], cluster[shuffled], n_resamples=200, seed=seed)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (single.mean, single.low, single.high)
    )


def test_holds_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    plain = clustered = 0
    for trial in range(300):
        # 40 instances of 5 queries, which are all right or all wrong in most of them.
        chance = rng.beta(0.3, 0.3, 40)
        values = (rng.random((40, 5)) < chance[:, None]).astype(float).ravel()
        clusters = np.repeat(np.arange(40), 5)
        found = bootstrap_interval(values, None, 0.9, 500, trial)
        plain += found.low <= 0.5 <= found.high
        found = bootstrap_interval(values, clusters, 0.9, 500, trial)
        clustered += found.low <= 0.5 <= found.high
    # The standard deviation of the share is 0.017.
    assert 0.84 < clustered / 300 < 0.95
    assert plain / 300 < 0.8


def test_left_out_queries_do_not_count():
    values = np.array([1, np.nan, 0, 1, 0.5])
    clusters = np.array([3, -1, 3, 0, 1])
    want = bootstrap_interval(values[[0, 2, 3, 4]], clusters[[0, 2, 3, 4]])
    assert bootstrap_interval(PerQuery(values), clusters) == want
    assert bootstrap_interval(np.full(7, 0.25)) == Interval(0.25, 0.25, 0.25, 0.95)
    assert bootstrap_interval(values, seed=1, n_resamples=20) != bootstrap_interval(
        values, seed=2, n_resamples=20
    )


def test_refusals():
    values = np.array([1.0, 0.0])
    for level in (0, 1, float("nan")):
        with pytest.raises(ConfigError, match="confidence_level"):
            bootstrap_interval(values, confidence_level=level)
    with pytest.raises(ConfigError, match="n_resamples"):
        bootstrap_interval(values, n_resamples=0)
    with pytest.raises(DataError, match="0 known entries"):
        bootstrap_interval(np.array([np.nan]))
    with pytest.raises(DataError, match="infinity in 1 rows"):
        bootstrap_interval(np.array([np.inf, 1]))
    with pytest.raises(DataError, match="clusters has 1 rows, there are 2 queries"):
        bootstrap_interval(values, np.array([0]))
    with pytest.raises(DataError, match="unknown in row 1"):
        bootstrap_interval(values, np.array([0, -1]))
