"""Labels spread over the graph, so that unlabelled images are trained on by themselves."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from graphrise.config import LabelConfig
from graphrise.errors import ConfigError
from graphrise.graph.edge_weights import edge_weights
from graphrise.graph.kinds import kind_mask
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import Graph
from graphrise.ops.sparse_rows import SparseRows, propagate_sparse
from graphrise.ops.sparse_rows.clamp import put_back
from graphrise.ops.sparse_rows.results import InFiles, InMemory, open_rows

_NODES = 1 << 20
"""Nodes whose first labels are put together at a time."""


def spread_labels(
    graph: Graph,
    labels: Ragged,
    *,
    power: float = 2.0,
    top: int = 8,
    steps: int = 1,
    own: float = 1.0,
    kinds: tuple[str, ...] | None = None,
    clamp: bool = False,
    start: Ragged | None = None,
    embeddings: np.ndarray | None = None,
    folder: Path | None = None,
) -> Ragged:
    """Mix every node's labels with its neighbours' and sharpen.

    A step is `q'_v ~ (own q_v + sum_u w_uv q_u)^s`: a scatter aggregation of sparse rows (DESIGN
    section 2; ours, beyond the paper), by blocks. Nodes without labels in reach stay unlabelled.

    Args:
        graph: The similarity graph; weights are used as they are.
        labels: Distribution q of its N nodes.
        power: Exponent s, above 0; above 1 sharpens.
        top: Labels kept per node, at least 1; among equals the lowest ids.
        steps: Times it is done; 0 gives the labels as they are.
        own: Weight of a node's own labels, at least 0. With 0 a labelled node without a labelled
            neighbour loses its own, unless clamped.
        kinds: Names of the kinds of edges used; None: all.
        clamp: After every step the nodes of `labels` get back what they were given, as in label
            propagation (Zhu and Ghahramani, CMU-CALD-02-107).
        start: What the first step mixes, in the place of `labels`; rows need not sum to 1.
        embeddings: float16 or float32 `[N, D]`: weights are `w_uv max(0, cos(z_u, z_v))`.
        folder: New folder for the result, which is mapped from there (a graph of hundreds of
            millions of images), as what is needed on the way is; None: memory.

    Returns:
        Distributions q' of the N nodes, each summing to 1.

    Raises:
        ConfigError: A number is out of range, the graph knows no such kind of edge, or labels or
            embeddings are of another graph.
        DataError: `folder` exists, or an embedding is not finite.
    """
    mask = kind_mask(graph, kinds, "kinds")
    given = SparseRows(labels.rowptr, labels.index, labels.weight)
    with _scratch(folder) as scratch:
        file = None if scratch is None else scratch / "weight.npy"
        found = propagate_sparse(
            graph.rowptr,
            graph.col,
            edge_weights(graph, kinds=mask, embeddings=embeddings, file=file),
            given if start is None else SparseRows(start.rowptr, start.index, start.weight),
            steps=steps,
            own=own,
            power=power,
            top=top,
            clamp=given if clamp else None,
            folder=folder,
        )
    return Ragged(*found)


def respread(
    graph: Graph,
    labels: Ragged,
    settings: LabelConfig,
    *,
    predictions: Ragged | None = None,
    embeddings: np.ndarray | None = None,
    folder: Path | None = None,
) -> Ragged:
    """Spread labels as settings say, from what a model knows by now if that is given.

    Args:
        graph: The similarity graph.
        labels: Distribution of its N nodes, as given.
        settings: The `spread_` ones say how; `spread`, `spread_refresh` and `spread_from` nothing.
        predictions: Distributions that nodes without given labels start from, times
            `spread_trust`.
        embeddings: float16 or float32 `[N, D]`: weights are `w_uv max(0, cos(z_u, z_v))`.
        folder: As for `spread_labels`.

    Returns:
        Distributions of the N nodes, each summing to 1; a node without any is unlabelled.

    Raises:
        ConfigError: The graph knows no such kind of edge, or an array is of another graph.
        DataError: `folder` exists, or an embedding is not finite.
    """
    kind_mask(graph, settings.spread_kinds, "labels.spread_kinds")
    with _scratch(folder) as scratch:
        start = None
        if predictions is not None:
            file = None if scratch is None else scratch / "start"
            start = _begun(labels, predictions, settings.spread_trust, file)
        return spread_labels(
            graph,
            labels,
            power=settings.spread_power,
            top=settings.spread_top,
            steps=settings.spread_steps,
            own=settings.spread_own,
            kinds=settings.spread_kinds,
            clamp=settings.spread_clamp,
            start=start,
            embeddings=embeddings,
            folder=folder,
        )


def _begun(labels: Ragged, predictions: Ragged, trust: float, folder: Path | None) -> Ragged:
    """Given labels, and predictions times `trust` where there are none."""
    if len(labels) != len(predictions):
        raise ConfigError(f"predictions of {len(predictions)} nodes for labels of {len(labels)}")
    given = SparseRows(labels.rowptr, labels.index, labels.weight)
    if folder is None:
        results = InMemory(given, len(labels), max(1, int(predictions.counts.max(initial=1))))
        _join(given, predictions, trust, results)
        return Ragged(*results.rows())
    with InFiles(folder, given) as results:
        _join(given, predictions, trust, results)
    return Ragged(*open_rows(folder))


def _join(
    given: SparseRows, predictions: Ragged, trust: float, results: InMemory | InFiles
) -> None:
    nodes = len(predictions)
    for first in range(0, nodes, _NODES):
        start = predictions.rowptr[first : min(first + _NODES, nodes) + 1]
        part = slice(int(start[0]), int(start[-1]))
        weight = (trust * predictions.weight[part]).astype(given.weight.dtype)
        results.add(*put_back(first, np.diff(start), predictions.index[part], weight, given))


@contextmanager
def _scratch(folder: Path | None) -> Iterator[Path | None]:
    """A folder beside one that is to be, for what is not kept; None where nothing is written."""
    if folder is None:
        yield None
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as found:
        yield Path(found)
