"""Hubs and anti-hubs."""

import numpy as np
import pytest
from scipy.stats import skew

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.hubness import hub_statistics, k_occurrence
from graphrise.ops.knn import knn


def test_by_hand():
    index = np.array([[1, 2], [0, 2], [0, 1], [1, 0]])
    assert k_occurrence(index, 5, 2).tolist() == [3, 3, 2, 0, 0]
    assert k_occurrence(index, 5, 1).tolist() == [2, 2, 0, 0, 0]
    found = hub_statistics(index, 5, 2)
    assert (found.k, found.never_found, found.largest, found.hub) == (2, 0.4, 3, 0)


def test_skewness_is_that_of_scipy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 40))
    index = knn(x, x, 10, exclude_self=True)[1]
    found = hub_statistics(index, 300)
    assert found.skewness == pytest.approx(skew(k_occurrence(index, 300, 10)))
    # Many dimensions make hubs (Radovanovic et al., figure 1), few do not.
    flat = rng.normal(size=(300, 2))
    assert hub_statistics(knn(flat, flat, 10, exclude_self=True)[1], 300).skewness < found.skewness
    ring = (np.arange(300)[:, None] + [1, -1]) % 300
    assert hub_statistics(ring, 300, 2).skewness == 0
    assert hub_statistics(ring, 300, 2).never_found == 0


def test_refusals():
    index = np.array([[0, 1]])
    with pytest.raises(ConfigError, match="at least 1"):
        hub_statistics(index, 2, 0)
    with pytest.raises(DataError, match="k = 3 needs"):
        hub_statistics(index, 2, 3)
    with pytest.raises(DataError, match="k = 1 needs"):
        k_occurrence(index[:0], 2, 1)
    with pytest.raises(DataError, match="outside the gallery"):
        k_occurrence(index, 1, 1)
