"""How many nodes have labels, and how much of the vocabulary they use."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphrise.graph.draws import BLOCK_EDGES, row_blocks
from graphrise.graph.info.counts import share
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import Graph, id_dtype


def label_info(labels: Ragged, vocabulary_size: int) -> dict[str, Any]:
    """Labelled nodes, labels per labelled node, and labels that a node has.

    Args:
        labels: Labels of N nodes.
        vocabulary_size: Labels there are names for.
    """
    used = np.zeros(vocabulary_size, dtype=bool)
    for start in range(0, labels.index.size, BLOCK_EDGES):
        used[labels.index[start : start + BLOCK_EDGES]] = True
    counts = labels.counts
    labelled, names = int(np.count_nonzero(counts)), int(np.count_nonzero(used))
    return {
        "labelled": labelled,
        "labelled_share": share(labelled, len(labels)),
        "unlabelled_share": share(len(labels) - labelled, len(labels)),
        "per_labelled_mean": share(int(labels.index.size), labelled),
        "per_labelled_max": int(counts.max(initial=0)),
        "vocabulary": vocabulary_size,
        "vocabulary_used": names,
        "vocabulary_used_share": share(names, vocabulary_size),
    }


def unlabelled_info(graph: Graph) -> dict[str, Any]:
    """Nodes without a label of any source, and those of them that have no edge either."""
    bare = np.ones(graph.num_nodes, dtype=bool)
    for labels in graph.labels.values():
        bare &= labels.rowptr[1:] == labels.rowptr[:-1]
    alone = bare & (graph.rowptr[1:] == graph.rowptr[:-1])
    nodes, isolated = int(np.count_nonzero(bare)), int(np.count_nonzero(alone))
    return {
        "nodes": nodes,
        "share": share(nodes, graph.num_nodes),
        "isolated": isolated,
        "isolated_share": share(isolated, graph.num_nodes),
    }


def heaviest_labels(labels: Ragged, vocabulary_size: int) -> np.ndarray:
    """What `Ragged.top` gives, block by block: it sorts all entries in memory.

    Args:
        labels: Labels of N nodes, rising within a node.
        vocabulary_size: Above every label id.

    Returns:
        int32 `[N]` (int64 from 2^31 labels on), -1 = unlabelled; ties go to the lowest id.
    """
    top = np.full(len(labels), -1, dtype=id_dtype(vocabulary_size))
    for first, last in row_blocks(labels.rowptr):
        begin, end = int(labels.rowptr[first]), int(labels.rowptr[last])
        counts = np.diff(labels.rowptr[first : last + 1])
        full = counts > 0
        weight = labels.weight[begin:end]
        heaviest = np.maximum.reduceat(weight, (labels.rowptr[first:last] - begin)[full])
        place = np.flatnonzero(weight == np.repeat(heaviest, counts[full]))
        row = np.repeat(np.arange(first, last), counts)[place]
        # Backwards, so that of equals the lowest id is written last.
        top[row[::-1]] = labels.index[begin:end][place][::-1]
    return top
