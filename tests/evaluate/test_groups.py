"""A metric by group."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphrise.errors import DataError
from graphrise.evaluate.groups import GroupValue, by_group, macro_mean
from graphrise.evaluate.per_query import PerQuery

NAN = float("nan")


def test_by_hand():
    values = PerQuery(np.array([1, 0, NAN, 0.5, NAN]))
    found = by_group(values, np.array([4, 4, 4, -1, 2]))
    assert found == {-1: GroupValue(0.5, 1, 0), 2: GroupValue(None, 0, 1), 4: GroupValue(0.5, 2, 1)}
    assert list(found) == [-1, 2, 4]
    assert macro_mean(values, np.array([4, 4, 4, 1, 2])) == 0.5
    assert macro_mean(values, np.array([4, 3, 4, -1, 2])) == 0.5


@given(
    st.lists(
        st.tuples(st.one_of(st.just(NAN), st.floats(0, 1)), st.integers(-1, 3)), min_size=1
    ).filter(lambda rows: any(value == value for value, _ in rows))
)
def test_counts_and_totals_add_up(rows):
    values, groups = PerQuery(np.array([v for v, _ in rows])), np.array([g for _, g in rows])
    found = by_group(values, groups)
    assert sum(g.scored for g in found.values()) == values.scored
    assert sum(g.left_out for g in found.values()) == values.left_out
    total = sum(g.value * g.scored for g in found.values() if g.value is not None)
    assert total / values.scored == pytest.approx(values.mean)
    one = macro_mean(values, np.zeros_like(groups))
    assert one == pytest.approx(values.mean)


def test_refusals():
    values = PerQuery(np.array([1.0, NAN]))
    with pytest.raises(DataError, match="groups has 1 rows, there are 2 queries"):
        by_group(values, np.array([0]))
    with pytest.raises(DataError, match="whole numbers"):
        by_group(values, np.array([0.0, 1.0]))
    with pytest.raises(DataError, match="none of the 2 queries is scored and of known group"):
        macro_mean(values, np.array([-1, 0]))
    with pytest.raises(DataError, match="none of the 1 queries was scored"):
        _ = PerQuery(np.array([NAN])).mean
