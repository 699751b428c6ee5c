"""Edge weights that labels are spread by: of some kinds of edges, of ends that look alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graphrise.errors import ConfigError, DataError
from graphrise.graph.store import Graph
from graphrise.ops.sparse_rows.step import blocks


def edge_weights(
    graph: Graph,
    *,
    kinds: int | None = None,
    embeddings: np.ndarray | None = None,
    file: Path | None = None,
) -> np.ndarray:
    """The graph's weights; 0 for other kinds, times `max(0, cos(z_u, z_v))` with embeddings.

    Args:
        graph: N nodes, E edges.
        kinds: Bits; edges that have none of them weigh 0. None: all count.
        embeddings: float16 or float32 `[N, D]`, of any length; the cosine to one of length 0 is 0.
        file: New .npy file for the result, which is mapped from there; None: memory.

    Returns:
        float32 `[E]`, in the order of `graph.col`; the graph's own array if nothing changes it.

    Raises:
        ConfigError: `embeddings` is not `[N, D]`.
        DataError: One of them is not finite.
    """
    if kinds is None and embeddings is None:
        return graph.weight
    width = 1
    if embeddings is not None:
        if embeddings.ndim != 2 or len(embeddings) != graph.num_nodes:
            raise ConfigError(
                f"embeddings of shape {list(embeddings.shape)} for a graph of {graph.num_nodes} "
                "nodes; give one a node, [N, D]"
            )
        width = embeddings.shape[1]
    out = _new(graph.num_edges, file)
    for first, last in blocks(graph.rowptr, width):
        begin, end = int(graph.rowptr[first]), int(graph.rowptr[last])
        value = graph.weight[begin:end].astype(np.float32)
        if kinds is not None:
            value[(graph.kind[begin:end] & kinds) == 0] = 0
        if embeddings is not None:
            row = np.repeat(np.arange(first, last), np.diff(graph.rowptr[first : last + 1]))
            value *= _cosines(embeddings, row, graph.col[begin:end])
        out[begin:end] = value
    return out.view(np.ndarray)


def _new(size: int, file: Path | None) -> np.ndarray:
    if file is None or size == 0:  # an empty file cannot be mapped
        return np.empty(size, dtype=np.float32)
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(size,))


def _cosines(embeddings: np.ndarray, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """`max(0, cos)` of the ends of some edges, float32."""
    one, other = (embeddings[at].astype(np.float32) for at in (row, col))
    length = np.sqrt(np.einsum("ij,ij->i", one, one) * np.einsum("ij,ij->i", other, other))
    if not np.isfinite(length).all():
        edge = int((~np.isfinite(length)).argmax())
        raise DataError(f"embeddings of node {row[edge]} or {col[edge]} are not finite")
    product = np.einsum("ij,ij->i", one, other)
    cosine = np.divide(product, length, out=np.zeros_like(product), where=length > 0)
    return np.clip(cosine, 0, 1)
