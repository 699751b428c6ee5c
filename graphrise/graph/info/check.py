"""Self-check of a graph: whether it is what the other code takes for granted."""

from __future__ import annotations

import numpy as np

from graphrise.graph.draws import row_blocks
from graphrise.graph.engine.base import Stages
from graphrise.graph.info.findings import Findings
from graphrise.graph.info.reverse import check_reverse
from graphrise.graph.store import Graph

TOLERANCE = 1e-3
"""The label weights of a node may miss 1 by this much."""


def check_graph(graph: Graph, stages: Stages) -> tuple[list[str], bool]:
    """Look at every array, block by block, and for the reverse of every edge.

    Reverses are looked up only where rows are in order, since the search needs that.

    Args:
        graph: The graph.
        stages: Told how far the check is.

    Returns:
        Problems as sentences, none if the graph is sound; and whether its arrays can be counted on
        at all: false if they do not fit together or hold impossible values.
    """
    stages.start("checking edges")
    problems = _sizes(graph)
    if problems:
        return problems, False
    impossible, wrong = Findings(graph), Findings(graph)
    for first, last in row_blocks(graph.rowptr):
        _check_edges(graph, first, last, impossible, wrong)
        stages.done(int(graph.rowptr[last]) / max(1, graph.num_edges))
    in_order = not impossible and not wrong
    for source in sorted(graph.labels):
        _check_labels(graph, source, impossible, wrong)
    if in_order:
        stages.start("checking reverse edges")
        check_reverse(graph, wrong, stages)
    return impossible.sentences() + wrong.sentences(), not impossible


def _sizes(graph: Graph) -> list[str]:
    """Row pointers that are none, and arrays whose length is not what they say."""
    pointers = {"rowptr": graph.rowptr}
    pointers |= {f"labels_{s}_rowptr": graph.labels[s].rowptr for s in sorted(graph.labels)}
    problems = [text for name, array in pointers.items() if (text := _pointers(name, array))]
    if problems:
        return problems
    expected = {
        name: (getattr(graph, name), graph.num_edges)
        for name in ("col", "weight", "kind", "cumulative")
    }
    expected["strength"] = (graph.strength, graph.num_nodes)
    expected["image_ids"] = (graph.image_ids, graph.num_nodes)
    for source, labels in sorted(graph.labels.items()):
        expected[f"labels_{source}_rowptr"] = (labels.rowptr, graph.num_nodes + 1)
        for name in ("index", "weight"):
            expected[f"labels_{source}_{name}"] = (getattr(labels, name), int(labels.rowptr[-1]))
    return [
        f"{name} has {len(array):,} entries, not {size:,}."
        for name, (array, size) in expected.items()
        if len(array) != size
    ]


def _pointers(name: str, rowptr: np.ndarray) -> str | None:
    if rowptr.size == 0 or rowptr[0] != 0:
        return f"{name} does not start at 0."
    falls = rowptr[1:] < rowptr[:-1]
    return f"{name} falls after node {int(falls.argmax())}." if falls.any() else None


def _check_edges(
    graph: Graph, first: int, last: int, impossible: Findings, wrong: Findings
) -> None:
    """What the edges of nodes `[first, last)` show without their reverses."""
    begin, end = int(graph.rowptr[first]), int(graph.rowptr[last])
    nodes = np.arange(first, last)
    row = np.repeat(nodes, np.diff(graph.rowptr[first : last + 1]))
    col, weight = graph.col[begin:end], graph.weight[begin:end]
    outside = (col < 0) | (col >= graph.num_nodes)
    impossible.edges("Edges to a node that does not exist", outside, row, col)
    bad = ~((weight > 0) & np.isfinite(weight))
    impossible.edges("Edges whose weight is not finite and above 0", bad, row, col)
    bad = _unknown_kinds(graph)[graph.kind[begin:end]]
    impossible.edges("Edges of a kind without a name", bad, row, col)
    total = np.bincount(row - first, weights=weight, minlength=last - first)
    bad = ~np.isclose(graph.strength[first:last], total, rtol=1e-5)
    impossible.nodes("Strengths that are not the sum of the edge weights", bad, nodes)
    wrong.edges("Edges from a node to itself", col == row, row, col)
    step, same = np.diff(col.astype(np.int64)), row[1:] == row[:-1]
    wrong.edges("Edges that stand twice", same & (step == 0), row[1:], col[1:])
    wrong.edges("Edges after one to a higher node", same & (step < 0), row[1:], col[1:])


def _unknown_kinds(graph: Graph) -> np.ndarray:
    """Whether a value of `kind` is no kind at all or has a bit without a name, bool `[256]`."""
    values = np.arange(256)
    return (values == 0) | (values & ~sum(set(graph.kinds.values())) != 0)


def _check_labels(graph: Graph, source: str, impossible: Findings, wrong: Findings) -> None:
    labels, size = graph.labels[source], len(graph.vocabulary.get(source, ()))
    for first, last in row_blocks(labels.rowptr):
        begin, end = int(labels.rowptr[first]), int(labels.rowptr[last])
        nodes = np.arange(first, last)
        row = np.repeat(nodes, np.diff(labels.rowptr[first : last + 1]))
        index, weight = labels.index[begin:end], labels.weight[begin:end]
        bad = (index < 0) | (index >= size)
        impossible.nodes(f"Labels ({source}) that the vocabulary lacks", bad, row)
        bad = ~((weight > 0) & np.isfinite(weight))
        impossible.nodes(f"Labels ({source}) whose weight is not finite and above 0", bad, row)
        total = np.bincount(row - first, weights=weight, minlength=last - first)
        bad = (total != 0) & ~(np.abs(total - 1) <= TOLERANCE)
        wrong.nodes(f"Nodes whose label weights ({source}) do not sum to 1", bad, nodes)
