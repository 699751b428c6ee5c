"""The graph as a NetworkX graph, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from graphrise.errors import DataError
from graphrise.graph.convert.from_edges import (
    Symmetric,
    graph_from_edges,
    kind_bits,
    kind_names,
    named_labels,
)
from graphrise.graph.draws import row_blocks
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import Graph

if TYPE_CHECKING:
    import networkx as nx


def to_networkx(graph: Graph) -> nx.Graph:
    """The graph as an `nx.Graph`; it takes a few hundred bytes of memory per edge.

    Nodes are image ids, in the graph's order. A node's labels are dicts from label name to share:
    those of source `given` the attribute `label`, those of another source the attribute of its
    name; an unlabelled node has none. Edges have `weight` (float) and `kind` (tuple of names).

    Args:
        graph: The graph.
    """
    import networkx as nx

    made = nx.Graph()
    ids = list(graph.image_ids)
    made.add_nodes_from(ids)
    for source, ragged in graph.labels.items():
        attribute = "label" if source == "given" else source
        words = graph.vocabulary[source]
        for node in np.flatnonzero(ragged.counts).tolist():
            entries = slice(int(ragged.rowptr[node]), int(ragged.rowptr[node + 1]))
            index, share = ragged.index[entries].tolist(), ragged.weight[entries].tolist()
            made.nodes[ids[node]][attribute] = {
                words[k]: part for k, part in zip(index, share, strict=True)
            }
    names = [kind_names(bits, graph.kinds) for bits in range(256)]
    for first, last in row_blocks(graph.rowptr):
        begin, end = int(graph.rowptr[first]), int(graph.rowptr[last])
        row = np.repeat(np.arange(first, last), np.diff(graph.rowptr[first : last + 1]))
        col = graph.col[begin:end]
        once = row < col
        made.add_edges_from(
            (ids[u], ids[v], {"weight": w, "kind": names[k]})
            for u, v, w, k in zip(
                row[once].tolist(),
                col[once].tolist(),
                graph.weight[begin:end][once].tolist(),
                graph.kind[begin:end][once].tolist(),
                strict=True,
            )
        )
    return made


def from_networkx(
    graph: nx.Graph,
    *,
    weight: str = "weight",
    label: str | Mapping[str, str] = "label",
    symmetric: Symmetric = "max",
) -> Graph:
    """A graph of an `nx.Graph`, `DiGraph`, `MultiGraph` or `MultiDiGraph`.

    Nodes keep their order. Their keys become image ids: strings or whole numbers as they are, of
    mixed or other types as `str()` writes them. The edge attribute `kind`, a name or several,
    becomes the edge's kinds; a name that `store.KINDS` lacks is one of at most four of its own.
    Other attributes are not kept.

    Args:
        graph: The graph to read.
        weight: Edge attribute of the weight; 1 without it. Of parallel edges the largest counts.
        label: Node attribute of the labels of source `given`, or attributes by source. Its value is
            one label, or a dict from label to share as `to_networkx` writes it; a node without it,
            or with None or NaN, is unlabelled.
        symmetric: Directed graphs: one weight of the two directions', as in `graph_from_edges`.

    Returns:
        The graph.

    Raises:
        DataError: Two node keys are the same as text, an attribute is of a wrong type, or what
            `graph_from_edges` refuses.
    """
    ids = _image_ids(graph)
    place = {key: node for node, key in enumerate(graph)}
    edges = []
    for u, v, of in graph.edges(data=True):
        number, names = _number(of.get(weight, 1.0)), _names(of.get("kind"))
        if number is None or names is None:
            raise DataError(
                f"edge {u!r} to {v!r}: {of!r} has a {weight} that is no number, or a kind that is "
                "neither a name nor a list of names"
            )
        edges.append((place[u], place[v], number, names))
    kinds = kind_bits({name for *_, names in edges for name in names})
    labels, vocabulary = {}, {}
    sources = {"given": label} if isinstance(label, str) else label
    for source, attribute in sources.items():
        found = _labels(graph, attribute)
        if found is not None:
            labels[source], vocabulary[source] = found
    source, target = np.array([e[:2] for e in edges], dtype=np.int64).reshape(-1, 2).T
    return graph_from_edges(
        source,
        target,
        np.array([e[2] for e in edges], dtype=np.float64),
        np.array([sum(kinds[name] for name in set(e[3])) for e in edges], dtype=np.int64),
        image_ids=ids,
        labels=labels,
        vocabulary=vocabulary,
        kinds=kinds,
        # An undirected graph lists an edge once, which is both directions.
        symmetric=symmetric if graph.is_directed() else "max",
    )


def _image_ids(graph: nx.Graph) -> list[str] | list[int]:
    keys = list(graph)
    if all(isinstance(key, str) for key in keys):
        return keys
    if all(isinstance(key, Integral) and not isinstance(key, bool) for key in keys):
        return [int(key) for key in keys]
    texts = [str(key) for key in keys]
    text, times = Counter(texts).most_common(1)[0]
    if times > 1:
        same = [key for key, written in zip(keys, texts, strict=True) if written == text]
        raise DataError(
            f"nodes {same[0]!r} and {same[1]!r} are both {text!r} as text, and image ids must be "
            "unique: rename one"
        )
    return texts


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, Real) else None


def _names(kind: Any) -> tuple[str, ...] | None:
    if kind is None:
        return ()
    names = (kind,) if isinstance(kind, str) or not isinstance(kind, Iterable) else tuple(kind)
    return names if all(isinstance(name, str) and name for name in names) else None


def _labels(graph: nx.Graph, attribute: str) -> tuple[Ragged, list[str]] | None:
    """Labels in one node attribute; None if no node has it."""
    nodes, names, shares = [], [], []
    value: Any
    for node, (key, value) in enumerate(graph.nodes(data=attribute)):
        if value is None or value != value:  # NaN is what tables put for a missing label
            continue
        shares_of = _shares(value, f"node {key!r}, attribute {attribute!r}")
        nodes.extend([node] * len(shares_of))
        names.extend(shares_of)
        shares.extend(shares_of.values())
    if not nodes:
        return None
    return named_labels(
        np.array(nodes, dtype=np.int64),
        np.array(names, dtype=object),
        np.array(shares, dtype=np.float64),
        len(graph),
    )


def _shares(value: Any, where: str) -> dict[str, float]:
    """Share of each label of one node."""
    if isinstance(value, (str, Real)):
        return {str(value): 1.0}
    if not isinstance(value, Mapping):
        raise DataError(
            f"{where}: {value!r} is neither one label (a string or number) nor a dict from label "
            "to share"
        )
    shares = {}
    for name, share in value.items():
        number = _number(share)
        if number is None or not 0 < number < float("inf"):
            raise DataError(f"{where}: share {share!r} of {name!r} is not a finite number above 0")
        shares[str(name)] = number
    if len(shares) < len(value):
        raise DataError(f"{where}: two labels of {value!r} are equal as text")
    return shares
