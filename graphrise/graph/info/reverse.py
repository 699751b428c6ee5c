"""Does every edge have its reverse, with the same weight and kind?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from graphrise.graph.draws import row_blocks
from graphrise.graph.engine.base import Stages
from graphrise.graph.info.findings import Findings
from graphrise.graph.store import Graph

BLOCK_EDGES = 1_000_000
"""Edges looked up at a time: some ten int64 arrays of this size are alive."""


def check_reverse(graph: Graph, findings: Findings, stages: Stages) -> None:
    """Look up the reverse of every edge.

    If all edges to a higher node have a reverse and half of the edges are such, the other half are
    these reverses and need no look-up.

    Args:
        graph: The graph; targets rise within a row and no edge leads from a node to itself.
        findings: Filled.
        stages: Told how far the check is.
    """
    rising, upward = Findings(graph), 0
    for row, col, place in _blocks(graph, stages):
        up = col > row
        upward += int(np.count_nonzero(up))
        _look_up(graph, row[up], col[up], place[up], rising)
    if rising or 2 * upward != graph.num_edges:
        for row, col, place in _blocks(graph, stages):
            _look_up(graph, row, col, place, findings)


def _blocks(graph: Graph, stages: Stages) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Row, column and place of the edges, all int64."""
    for first, last in row_blocks(graph.rowptr, BLOCK_EDGES):
        begin, end = int(graph.rowptr[first]), int(graph.rowptr[last])
        row = np.repeat(np.arange(first, last), np.diff(graph.rowptr[first : last + 1]))
        yield row, graph.col[begin:end].astype(np.int64), np.arange(begin, end)
        stages.done(end / max(1, graph.num_edges))


def _look_up(
    graph: Graph, row: np.ndarray, col: np.ndarray, place: np.ndarray, findings: Findings
) -> None:
    reverse = find_edges(graph.rowptr, graph.col, col, row)
    found = reverse >= 0
    findings.edges("Edges without their reverse", ~found, row, col)
    row, col, place, reverse = row[found], col[found], place[found], reverse[found]
    for name, values in (("weight", graph.weight), ("kind", graph.kind)):
        differ = values[place] != values[reverse]
        findings.edges(f"Edges whose reverse has another {name}", differ, row, col)


def find_edges(
    rowptr: np.ndarray, col: np.ndarray, row: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Where edges `row -> target` stand, by binary search in their rows.

    Args:
        rowptr: int64 `[N + 1]`.
        col: `[E]`, rising within a row.
        row: int64 `[B]`.
        target: int64 `[B]`.

    Returns:
        int64 `[B]`, places in `col`; -1 where there is no such edge.
    """
    low, high = rowptr[row], rowptr[row + 1]
    end = high.copy()
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_]) >> 1
        below = col[middle] < target[open_]
        low[open_[below]] = middle[below] + 1
        high[open_[~below]] = middle[~below]
    place = np.full(row.size, -1, dtype=np.int64)
    inside = np.flatnonzero(low < end)
    hit = inside[col[low[inside]] == target[inside]]
    place[hit] = low[hit]
    return place
