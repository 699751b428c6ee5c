"""Indices looked at before they are followed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.ops.checks import check_index, check_rowptr, checked_mode, demand_index

INDICES = st.lists(st.integers(-3, 8), max_size=6)


@given(INDICES, st.integers(0, 6), st.sampled_from([torch.int32, torch.int64]))
def test_index_is_refused_where_one_is_outside(values, size, dtype):
    index = torch.tensor(values, dtype=dtype)
    outside = [at for at, v in enumerate(values) if not 0 <= v < size]
    if not outside:
        check_index("op", "index", index, size)
        return
    at = outside[0]
    with pytest.raises(DataError, match=rf"op: index\[{at}\] is {values[at]}; .*\[0, {size}\)"):
        check_index("op", "index", index, size)


@given(st.lists(st.integers(-2, 5), min_size=1, max_size=5), st.integers(0, 5))
def test_rowptr_is_refused_unless_it_rises_from_0_to_the_end(values, entries):
    rowptr = torch.tensor(values)
    if values == sorted(values) and values[0] == 0 and values[-1] == entries:
        check_rowptr("op", rowptr, entries)
        return
    with pytest.raises(DataError, match=r"op: rowptr (runs from|falls from)"):
        check_rowptr("op", rowptr, entries)


def test_dtypes_and_dimensions():
    demand_index("op", "index", torch.zeros(2, dtype=torch.int32))
    demand_index("op", "index", torch.zeros(2, 2, dtype=torch.int64), dim=2)
    for wrong in (torch.zeros(2), torch.zeros(2, 1, dtype=torch.int64), torch.tensor(1)):
        with pytest.raises(ConfigError, match="op: index must be int32 or int64 with 1 dim"):
            demand_index("op", "index", wrong)


def test_checked_on_a_cpu_always_elsewhere_if_asked(monkeypatch):
    monkeypatch.delenv("GRAPHRISE_CHECKED", raising=False)
    assert checked_mode(torch.zeros(1))
    assert not checked_mode(torch.zeros(1, device="meta"))
    monkeypatch.setenv("GRAPHRISE_CHECKED", "1")
    assert checked_mode(torch.zeros(1, device="meta"))
