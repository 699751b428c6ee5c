"""Edge kinds, degrees and percentiles, against plain Python."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.graph.draws import row_blocks
from graphrise.graph.info import counts as module
from graphrise.graph.info.counts import degree_info, edge_counts, value_info

KINDS = {"bought": 16, "coclick": 1, "knn": 4}


@pytest.fixture(scope="module", params=[3, None])
def _blocks(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            patch.setattr(module, "BLOCK_EDGES", request.param)
            patch.setattr(module, "row_blocks", lambda rowptr: row_blocks(rowptr, request.param))
        yield


def percentile(values, percent):
    """The lowest value that `percent` of all do not exceed."""
    for value in sorted(values):
        if sum(v <= value for v in values) * 100 >= percent * len(values):
            return value
    return None


@pytest.mark.usefixtures("_blocks")
def test_edges_by_kind_and_combination(make):
    graph = make.made_graph(5, [(0, 1, 1.0), (0, 2, 1.0), (1, 2, 1.0), (2, 3, 1.0), (3, 4, 1.0)])
    of = {(0, 1): 1, (0, 2): 5, (1, 2): 5, (2, 3): 21, (3, 4): 16}
    row = np.repeat(np.arange(5), np.diff(graph.rowptr))
    kind = [of[min(e), max(e)] for e in zip(row.tolist(), graph.col.tolist(), strict=True)]
    graph = dataclasses.replace(graph, kind=np.array(kind, dtype=np.uint8), kinds=KINDS)
    kinds, combinations = edge_counts(graph)
    assert list(kinds.items()) == [("coclick", 4), ("knn", 3), ("bought", 2)]
    assert combinations == {"coclick + knn": 2, "coclick + knn + bought": 1}


@settings(max_examples=60, deadline=None)
@given(degree=st.lists(st.integers(0, 40), min_size=1, max_size=30))
def test_degrees(degree):
    found = degree_info(np.concatenate(([0], np.cumsum(degree))))
    assert found is not None
    assert (found["min"], found["max"]) == (min(degree), max(degree))
    assert found["mean"] == pytest.approx(sum(degree) / len(degree))
    for name, percent in (("median", 50), ("p90", 90), ("p99", 99)):
        assert found[name] == percentile(degree, percent)
    assert found["isolated"] == degree.count(0)
    assert found["isolated_share"] == degree.count(0) / len(degree)
    rows = found["histogram"]
    assert rows[0]["from"] == rows[0]["to"] == 0
    for k, row in enumerate(rows[1:]):
        assert (row["from"], row["to"]) == (2**k, 2 ** (k + 1) - 1)
    for row in rows:
        assert row["nodes"] == sum(row["from"] <= d <= row["to"] for d in degree)
    assert max(degree) in range(rows[-1]["from"], rows[-1]["to"] + 1)


@pytest.mark.usefixtures("_blocks")
@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.one_of(
            st.just(0.0),
            st.floats(2.0**-100, 2.0**100, width=32),
            # Close together, so that the upper bits are equal.
            st.integers(0, 200).map(lambda k: float(np.float32(1 + k * 2.0**-20))),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_values(values):
    found = value_info(np.array(values, dtype=np.float32))
    assert found is not None
    assert (found["min"], found["max"]) == (min(values), max(values))
    assert found["mean"] == pytest.approx(math.fsum(values) / len(values))
    for name, percent in (("median", 50), ("p90", 90), ("p99", 99)):
        assert found[name] == percentile(values, percent)
    assert list(found) == ["min", "median", "p90", "p99", "mean", "max"]
    assert {type(value) for value in found.values()} == {float}


def test_percentiles_of_whole_ranks():
    for size in (10, 30, 70, 100, 700, 1100):
        values = np.arange(1, size + 1, dtype=np.float64)
        found = value_info(values)
        assert found is not None
        assert found["p90"] == size * 90 // 100
        assert found["p99"] == -(-size * 99 // 100)


def test_nothing():
    assert value_info(np.zeros(0, dtype=np.float32)) is None
    assert degree_info(np.zeros(1, dtype=np.int64)) is None
