"""Rows under a filter against loops, and draws from them against their probabilities."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.graph import pages
from graphrise.graph.store import open_graph, save_graph
from graphrise.loader.rows import AllowedRows, Rows, draw_from_rows
from graphrise.ops.counter_random import counter_bits


@settings(max_examples=80, deadline=None)
@given(
    nodes=st.integers(1, 12),
    edges=st.integers(0, 30),
    seed=st.integers(0, 99),
    mask=st.sampled_from([None, 1, 2, 4, 5, 7, 8]),
    data=st.data(),
)
def test_rows_equal_the_loop(make, graphs, nodes, edges, seed, mask, data):
    graph = graphs.graph_of_kinds(make, nodes, edges, seed)
    asked = data.draw(st.lists(st.integers(0, nodes - 1), max_size=8))
    rows = AllowedRows(graph, mask).of(np.array(asked, dtype=np.int64))
    found = list(
        zip(*(x.tolist() for x in (rows.row, rows.edge, rows.col, rows.weight)), strict=True)
    )
    loop = [
        (position, *edge)
        for position, node in enumerate(asked)
        for edge in graphs.edges_of(graph, node, 255 if mask is None else mask)
    ]
    assert found == loop
    assert (rows.col.dtype, rows.weight.dtype) == (np.int64, np.float64)
    totals = rows.totals(len(asked))
    want = [sum(w for p, _, _, w in loop if p == position) for position in range(len(asked))]
    np.testing.assert_allclose(totals, want)


def test_unlabelled_only(make, graphs):
    graph = graphs.graph_of_kinds(make, 30, 90)
    allowed = AllowedRows(graph, None, graph.labels["given"])
    labelled, unlabelled = graphs.labelled_of(graph)
    np.testing.assert_array_equal(np.flatnonzero(allowed.unlabelled(np.arange(30))), unlabelled)
    rows = allowed.of(labelled)
    rest = rows.where(allowed.unlabelled(rows.col))
    want = [e for n in labelled for e, v, _ in graphs.edges_of(graph, n, to=set(unlabelled))]
    assert rest.edge.tolist() == want
    assert 0 < len(want) < rows.edge.size


@pytest.mark.parametrize("few", [0, 60, 1 << 14])
@pytest.mark.parametrize("mask", [None, 2])
def test_a_mapped_graph_gives_the_same(make, graphs, tmp_path, monkeypatch, few, mask):
    monkeypatch.setattr(pages, "SMALL", 0)
    monkeypatch.setattr(pages, "FEW", few)
    graph = graphs.graph_of_kinds(make, 40, 200)
    save_graph(graph, tmp_path / "g")
    mapped = AllowedRows(open_graph(tmp_path / "g"), mask)
    assert mapped._col.by_file(1) == (few > 0)
    for nodes in (np.arange(40), np.array([3, 3, 39, 0]), np.empty(0, dtype=np.int64)):
        one, other = mapped.of(nodes), AllowedRows(graph, mask).of(nodes)
        for name in ("row", "edge", "col", "weight"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def rows_of(*weights):
    """Rows of given weights; row i is node 10 + i."""
    row = np.repeat(np.arange(len(weights)), [len(w) for w in weights])
    flat = np.array([w for of in weights for w in of], dtype=np.float64)
    return Rows(row, np.arange(row.size), np.arange(row.size), flat), 10 + np.arange(len(weights))


@pytest.mark.parametrize("weighted", [True, False])
def test_draws_follow_their_probabilities(weighted):
    weights = ([0.1, 0.4, 1.0, 0.001], [], [3.0], [1e6, 2e6], [2e-6, 1e-6, 1e-6])
    rows, nodes = rows_of(*weights)
    draws = 20_000
    row, place = draw_from_rows(rows, nodes, counter_bits(5, np.arange(draws)), weighted=weighted)
    assert row.tolist() == [r for r in (0, 2, 3, 4) for _ in range(draws)]
    np.testing.assert_array_equal(rows.row[place], row)
    counts, first = np.bincount(place, minlength=rows.row.size), 0
    for of in weights:
        for w in of:
            p = w / sum(of) if weighted else 1 / len(of)
            assert abs(counts[first] - draws * p) <= 5 * math.sqrt(draws * p * (1 - p))
            first += 1


@pytest.mark.parametrize("weighted", [True, False])
def test_a_draw_depends_on_node_and_address_alone(weighted):
    rows, nodes = rows_of([1, 2, 3, 4], [5], [1, 1, 1, 1, 1])
    state = counter_bits(3, np.arange(50))
    row, place = draw_from_rows(rows, nodes, state, weighted=weighted)
    for r in (0, 2):
        keep = rows.row == r
        one = Rows(
            np.zeros(keep.sum(), int), *(x[keep] for x in (rows.edge, rows.col, rows.weight))
        )
        _, alone = draw_from_rows(one, nodes[r : r + 1], state, weighted=weighted)
        assert one.edge[alone].tolist() == rows.edge[place[row == r]].tolist()
    other = draw_from_rows(rows, nodes, counter_bits(4, np.arange(50)), weighted=weighted)[1]
    assert (other != place).any()


def test_rounding_stays_in_the_row():
    # Beside a huge row, the running sum cannot tell the weights of a tiny one apart.
    rows, nodes = rows_of([1e18], [1e-9, 1e-9], [1e18])
    for weighted in (True, False):
        row, place = draw_from_rows(rows, nodes, counter_bits(0, np.arange(500)), weighted=weighted)
        np.testing.assert_array_equal(rows.row[place], row)


def test_nothing_to_draw():
    for rows, nodes in (rows_of(), rows_of([], [])):
        for weighted in (True, False):
            row, place = draw_from_rows(
                rows, nodes, counter_bits(0, np.arange(3)), weighted=weighted
            )
            assert row.size == place.size == 0
    rows, nodes = rows_of([1.0])
    assert draw_from_rows(rows, nodes, counter_bits(np.arange(0)), weighted=True)[1].size == 0
