"""Running shares and the search in them, against plain Python."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from graphrise.graph import draws
from graphrise.graph.draws import FULL, fill_draws, first_above, row_blocks

DEGREES = st.lists(st.sampled_from([0, 0, 1, 2, 5, 17, 40]), max_size=30)
WEIGHTS = st.floats(2**-20, 2**20, width=32)


def pointers(degrees):
    return np.concatenate(([0], np.cumsum(np.array(degrees, dtype=np.int64))))


def filled(rowptr, weight):
    strength = np.full(rowptr.size - 1, np.nan)
    cumulative = np.full(int(rowptr[-1]), 7, dtype=np.uint32)
    fill_draws(rowptr, weight, strength, cumulative)
    return strength, cumulative


@settings(deadline=None)
@given(degrees=DEGREES, edges=st.integers(1, 50))
@example(degrees=[0, 0, 0, 100_000, 0, 1], edges=3)
@example(degrees=[0] * 20, edges=4)
@example(degrees=[2, 2, 100_000], edges=4)
@example(degrees=[4, 0], edges=4)
def test_row_blocks_hold_every_row_once(degrees, edges):
    rowptr = pointers(degrees)
    blocks = row_blocks(rowptr, edges)
    assert [n for a, b in blocks for n in range(a, b)] == list(range(len(degrees)))
    for a, b in blocks:
        assert 1 <= b - a <= edges
        # Without its last row, a block is within the limit.
        assert rowptr[b - 1] - rowptr[a] <= edges


@settings(deadline=None)
@given(data=st.data(), degrees=DEGREES, block=st.sampled_from([1, 3, 20, 1 << 18]))
def test_shares_against_fractions(data, degrees, block):
    rowptr = pointers(degrees)
    size = int(rowptr[-1])
    weight = np.array(data.draw(st.lists(WEIGHTS, min_size=size, max_size=size)), dtype=np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "_CACHED", block)
        strength, cumulative = filled(rowptr, weight)
    assert strength.dtype == np.float64
    for node, (a, b) in enumerate(pairwise(rowptr.tolist())):
        row = [Fraction(float(w)) for w in weight[a:b]]
        assert strength[node] == pytest.approx(float(sum(row)), rel=1e-12)
        for i in range(b - a - 1):
            share = sum(row[: i + 1]) / sum(row)
            assert abs(int(cumulative[a + i]) - int(share * 2**32)) <= 1
        if b > a:
            assert cumulative[b - 1] == FULL == 2**32 - 1
        assert (np.diff(cumulative[a:b].astype(np.int64)) >= 0).all()


def test_a_million_rows_before_it_do_not_blur_a_row(monkeypatch):
    monkeypatch.setattr(draws, "_CACHED", 10**7)
    rows = 1_200_000
    _, cumulative = filled(np.arange(rows + 1) * 3, np.ones(3 * rows, dtype=np.float32))
    off = cumulative.reshape(rows, 3).astype(np.int64) - [2**32 // 3, 2**33 // 3, FULL]
    # The exact shares are a third of a unit from the next whole number.
    assert (off == 0).all()


def test_a_light_row_beside_heavy_ones():
    weight = np.array([1e30, 3e-30, 1e-30, 1e30], dtype=np.float32)
    strength, cumulative = filled(np.array([0, 1, 3, 4]), weight)
    assert abs(int(cumulative[1]) - 3 * 2**30) <= 1
    assert cumulative[[0, 2, 3]].tolist() == [FULL] * 3
    assert strength[1] == pytest.approx(4e-30)


@settings(deadline=None)
@given(data=st.data(), degrees=DEGREES.filter(any))
def test_search_against_plain_python(data, degrees):
    rowptr = pointers(degrees)
    # Few values, so that neighbours are equal and draws hit them.
    values = st.integers(0, 9) | st.sampled_from([2**31, 2**31 + 1, FULL - 1, FULL])
    rows = [sorted(data.draw(st.lists(values, min_size=d, max_size=d))) for d in degrees]
    for row in rows:
        row[-1:] = [FULL] * len(row[-1:])
    nodes = [data.draw(st.sampled_from(np.flatnonzero(degrees).tolist())) for _ in range(20)]
    points = [[data.draw(values), data.draw(values)] for _ in nodes]
    found = first_above(
        np.array([v for row in rows for v in row], dtype=np.uint32),
        rowptr[nodes],
        np.array(degrees)[nodes],
        np.array(points, dtype=np.uint32),
    )
    assert found.shape == (20, 2)
    for node, both, places in zip(nodes, points, found, strict=True):
        for point, at in zip(both, places, strict=True):
            above = [i for i, v in enumerate(rows[node]) if v > point]
            assert at == rowptr[node] + (above[0] if above else degrees[node] - 1)


def test_rows_without_edges_harm_no_others():
    cumulative = np.array([5, FULL, FULL], dtype=np.uint32)
    start, degree = np.array([0, 0, 2, 3]), np.array([0, 2, 1, 0])
    found = first_above(cumulative, start, degree, np.full((4, 1), 9, dtype=np.uint32))
    assert found[1:3, 0].tolist() == [1, 2]
    for draws_each in (0, 1, 3):
        point = np.zeros((1, draws_each), dtype=np.uint32)
        assert first_above(cumulative[:0], start[:1], degree[:1], point).shape == (1, draws_each)
