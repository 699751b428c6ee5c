"""Loops over ranges of rows, on threads."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphrise.ops.cpu.jit import SMALL, compiled, even_parts, over_rows, run_parts


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(1, 6))
def test_parts_cover_all_rows_once_and_evenly(degrees, parts):
    rowptr = np.concatenate(([0], np.cumsum(degrees))).astype(np.int64)
    found = even_parts(rowptr, parts)
    assert len(found) <= parts
    assert [r for first, last in found for r in range(first, last)] == list(range(len(degrees)))
    share = (rowptr[-1] + len(degrees)) / parts
    for first, last in found:
        assert rowptr[last] - rowptr[first] + last - first <= share + max(degrees) + 1


@compiled
def _rise(first: int, last: int, out: np.ndarray, by: int) -> None:
    for row in range(first, last):
        out[row] += by


def test_every_row_once_on_any_number_of_threads():
    rowptr = np.arange(SMALL + 1)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            out = np.zeros(SMALL, dtype=np.int64)
            over_rows(_rise, rowptr, 1, out, 3)
            assert (out == 3).all()
    finally:
        torch.set_num_threads(before)


def test_small_work_stays_on_this_thread():
    names = []
    over_rows(lambda *_: names.append(threading.current_thread().name), np.arange(5), 1)
    assert names == [threading.current_thread().name]


def test_an_error_on_a_thread_is_raised_here():
    def loop(first: int, last: int) -> None:
        if first == 2:
            raise ValueError("row 2")

    with pytest.raises(ValueError, match="row 2"):
        run_parts(loop, [(0, 1), (1, 2), (2, 3)])


def test_compiles_where_nothing_can_be_kept(monkeypatch):
    import numba

    real, kept = numba.njit, []

    def njit(**options):
        kept.append(options.get("cache", False))
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba, "njit", njit)
    loop = compiled(lambda first, last: last - first)
    assert loop(2, 5) == 3
    assert kept == [True, False]
