"""The graph as what other libraries understand: PyG `Data`."""

from __future__ import annotations

import numpy as np
import torch
from torch_geometric.data import Data

from graphrise.graph.store import Graph


def to_data(graph: Graph, source: str = "given") -> Data:
    """The graph as a PyG `Data`; everything PyG does with one works on it.

    Reads every edge. Both directions of an edge are there already: `T.ToUndirected()` would add
    them up and double the weights, `T.ToUndirected(reduce="max")` leaves them as they are. Soft
    labels stay beside it (`graph.labels`): PyG's loaders would copy ragged rows whole into every
    batch.

    Args:
        graph: The graph.
        source: Label source of `y`.

    Returns:
        `edge_index` int64 `[2, E]` (both directions, sorted by source), `edge_weight` float32
        `[E]`, `edge_kind` uint8 `[E]`, `y` int64 `[N]` (heaviest label, -1 = unlabelled),
        `labelled_mask` bool `[N]`, `num_nodes`.

    Raises:
        DataError: The graph has no labels of `source`.
    """
    labels = graph.labels_of(source)
    row = np.repeat(np.arange(graph.num_nodes), np.diff(graph.rowptr))
    y = torch.from_numpy(labels.top())
    return Data(
        edge_index=torch.from_numpy(np.stack((row, np.asarray(graph.col)))),
        edge_weight=torch.from_numpy(np.array(graph.weight)),
        edge_kind=torch.from_numpy(np.array(graph.kind)),
        y=y,
        labelled_mask=y >= 0,
        num_nodes=graph.num_nodes,
    )
