"""The graph as what other libraries understand: PyG `Data`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from graphrise.errors import DataError
from graphrise.graph.convert.from_edges import Symmetric, graph_from_edges, named_labels
from graphrise.graph.ragged import Ragged
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
        edge_index=torch.from_numpy(np.stack((row, graph.col))),
        edge_weight=torch.from_numpy(np.array(graph.weight)),
        edge_kind=torch.from_numpy(np.array(graph.kind)),
        y=y,
        labelled_mask=y >= 0,
        num_nodes=graph.num_nodes,
    )


def from_data(
    data: Data, *, symmetric: Symmetric = "max", kinds: Mapping[str, int] | None = None
) -> Graph:
    """A graph of a PyG `Data`; of a PyG dataset, `from_data(dataset[0])`.

    Read are `edge_index`, `edge_weight` (or an `edge_attr` of one column; without either every
    edge weighs 1), `edge_kind` (bits), `y` (one class per node, -1 or NaN = unlabelled) and
    `image_id` (a list or tensor of N; without it nodes are called 0 to N - 1). Classes become
    one-hot labels of source `given`, named by their number and sorted by falling frequency.

    Anything else is not kept, as a graph has no place for it: features (`x`, an `edge_attr` of
    several columns), train, validation and test masks, positions. What `to_data` gives comes back
    with the same edges, weights and kinds, but of soft labels only the heaviest, and named by
    number.

    Args:
        data: A homogeneous graph, directed or not.
        symmetric: One weight of the two directions', as in `graph_from_edges`.
        kinds: Bit of each kind in `edge_kind`, by name; None: `store.KINDS`.

    Returns:
        The graph.

    Raises:
        DataError: No `Data`, no `edge_index`, several classes per node, or what
            `graph_from_edges` refuses.
    """
    if not isinstance(data, Data):
        raise DataError(
            f"a torch_geometric.data.Data is needed, not {type(data).__name__}: take dataset[0], "
            "of heterogeneous data one edge type or to_homogeneous()"
        )
    if data.edge_index is None:
        raise DataError("the Data has no edge_index (an adj_t must be turned into one)")
    source, target = _array(data.edge_index)
    num_nodes = int(data.num_nodes or 0)
    weight, kind, ids = (data.get(name) for name in ("edge_weight", "edge_kind", "image_id"))
    if weight is None and data.edge_attr is not None and data.edge_attr.shape[1:] in ((), (1,)):
        weight = data.edge_attr
    labels, vocabulary = {}, {}
    if data.y is not None:
        labels["given"], vocabulary["given"] = class_labels(_array(data.y), num_nodes)
    return graph_from_edges(
        source,
        target,
        None if weight is None else _array(weight).reshape(len(weight)),
        None if kind is None else _array(kind),
        num_nodes=num_nodes,
        image_ids=ids.tolist() if isinstance(ids, torch.Tensor) else ids,
        labels=labels,
        vocabulary=vocabulary,
        kinds=kinds,
        symmetric=symmetric,
    )


def class_labels(y: np.ndarray, num_nodes: int) -> tuple[Ragged, list[str]]:
    """One-hot labels of class numbers, and their vocabulary.

    Args:
        y: `[N]` or `[N, 1]`, whole numbers; -1 or NaN = unlabelled.
        num_nodes: N.

    Returns:
        The labels, and the class numbers as names, by falling frequency.

    Raises:
        DataError: Another shape, or a value that is no class number.
    """
    if y.ndim == 2 and y.shape[1] > 1:
        raise DataError(
            f"y has {y.shape[1]} columns, which is several labels per node: give one class per "
            "node, or build soft labels with ragged.from_entries"
        )
    if y.size != num_nodes:
        raise DataError(
            f"y has {y.size} values for {num_nodes} nodes; one class per node is needed"
        )
    values = y.reshape(-1)
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), -1, values)
    wrong = ~(np.isfinite(values) & (values >= -1) & (values == np.floor(values)))
    if wrong.any():
        node = int(wrong.argmax())
        raise DataError(
            f"y of node {node} is {values[node]}; classes are whole numbers from 0, -1 or NaN "
            "stands for unlabelled"
        )
    classes = values.astype(np.int64)
    node = np.flatnonzero(classes >= 0)
    return named_labels(node, classes[node], np.ones(node.size), num_nodes)


def _array(tensor: Any) -> np.ndarray:
    tensor = torch.as_tensor(tensor).detach().cpu()
    # bfloat16 has no NumPy type.
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy()
