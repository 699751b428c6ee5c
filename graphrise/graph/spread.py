"""Labels spread one step over the graph, so that unlabelled images are trained on by themselves."""

from __future__ import annotations

import numpy as np

from graphrise.errors import ConfigError
from graphrise.graph.ragged import Ragged, from_entries
from graphrise.graph.store import Graph

BLOCK_ENTRIES = 4_000_000
"""Label entries mixed at a time: bounds memory to a few hundred MB whatever the graph."""


def spread_labels(graph: Graph, labels: Ragged, *, power: float = 2.0, top: int = 8) -> Ragged:
    """Mix every node's labels with its neighbours' and sharpen: `q'_v ~ (q_v + sum_u w_uv q_u)^s`.

    One scatter aggregation of sparse rows (DESIGN section 2; ours, beyond the paper), node block by
    node block. Nodes without labels in reach stay unlabelled.

    Args:
        graph: The similarity graph; weights are used as they are.
        labels: Distribution q of its N nodes.
        power: Exponent s, above 0; above 1 sharpens.
        top: Labels kept per node, at least 1; among equals the lowest ids.

    Returns:
        Distributions q' of the N nodes, each summing to 1.

    Raises:
        ConfigError: `power` or `top` is out of range, or `labels` is of another graph.
    """
    if power <= 0 or top < 1:
        raise ConfigError(f"spread: power must be above 0 and top at least 1, got {power}, {top}")
    if len(labels) != graph.num_nodes:
        raise ConfigError(
            f"spread: labels of {len(labels)} nodes on a graph of {graph.num_nodes} nodes"
        )
    parts = [_block(graph, labels, first, last) for first, last in _blocks(graph, labels)]
    row, index, weight = (np.concatenate(p) for p in zip(*parts, strict=True))
    # The mix is scaled by its row's maximum first, so that a high power cannot underflow to 0 / 0.
    peak = np.zeros(graph.num_nodes)
    np.maximum.at(peak, row, weight)
    weight = (weight / peak[row]) ** power
    order = np.lexsort((index, -weight, row))
    row, index, weight = row[order], index[order], weight[order]
    counts = np.bincount(row, minlength=graph.num_nodes)
    rank = np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)
    keep = (rank < top) & (weight > 0)
    return from_entries(row[keep], index[keep], weight[keep], graph.num_nodes)


def _blocks(graph: Graph, labels: Ragged) -> list[tuple[int, int]]:
    """Node ranges whose neighbours hold about BLOCK_ENTRIES labels, judged by the mean."""
    per_edge = max(1.0, labels.index.size / max(1, len(labels)))
    limit = max(1, int(BLOCK_ENTRIES / per_edge))
    edges = np.append(np.arange(0, graph.num_edges, limit), graph.num_edges)
    cuts = np.unique(np.searchsorted(graph.rowptr, edges, side="left"))
    cuts = np.unique(np.concatenate(([0], cuts, [graph.num_nodes])))
    return list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True))


def _block(
    graph: Graph, labels: Ragged, first: int, last: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    nodes = np.arange(first, last)
    begin, end = int(graph.rowptr[first]), int(graph.rowptr[last])
    target = np.repeat(nodes, np.diff(graph.rowptr[first : last + 1]))
    own, own_index, own_weight = labels.rows(nodes)
    edge, index, share = labels.rows(np.asarray(graph.col[begin:end]))
    row = np.concatenate((nodes[own], target[edge]))
    index = np.concatenate((own_index, index))
    weight = np.concatenate((own_weight, share * graph.weight[begin:end][edge])).astype(np.float64)
    # Equal (node, label) entries are summed by runs of the sorted list.
    order = np.lexsort((index, row))
    row, index, weight = row[order], index[order], weight[order]
    if row.size == 0:
        return row, index, weight
    starts = np.flatnonzero(np.append(True, (np.diff(row) != 0) | (np.diff(index) != 0)))
    return row[starts], index[starts], np.add.reduceat(weight, starts)
