"""What tells one graph from another, whatever files hold them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from graphrise.graph.store import Graph, as_column

_BLOCK = 1 << 20
_EDGES = 1 << 20
"""Of a graph's edges at most, evenly spread, that are looked at; their rows all are."""


def image_names(graph: Graph) -> str:
    """Digest of the images' ids, in the order of nodes."""
    return digest(graph.image_ids)


def label_names(graph: Graph, source: str) -> str:
    """Digest of the names of a source's labels, in the order of labels.

    Raises:
        DataError: The graph has no such labels.
    """
    graph.labels_of(source)
    return digest(graph.vocabulary[source])


def image_labels(graph: Graph, source: str) -> str:
    """Digest of the labels of every image and of their shares.

    Raises:
        DataError: The graph has no such labels.
    """
    labels = graph.labels_of(source)
    whole, shares = (np.int64, np.float32)
    return _joined(_of(labels.rowptr, whole), _of(labels.index, whole), _of(labels.weight, shares))


def edges(graph: Graph) -> str:
    """Digest of every image's number of edges, and of a million of the edges at most."""
    step = max(1, -(-graph.num_edges // _EDGES))
    some = (
        _of(of[::step], kind)
        for of, kind in ((graph.col, np.int64), (graph.weight, np.float32), (graph.kind, np.uint8))
    )
    return _joined(_of(graph.rowptr, np.int64), *some)


def digest(names: Sequence[str | int]) -> str:
    """SHA-256 of a sequence of strings or whole numbers, in hexadecimal.

    It is that of the names, not of how a file or a list holds them; 1 and "1" differ.

    Args:
        names: A list, or a graph's column; None is none of them.
    """
    column = as_column(names)
    lengths, content = hashlib.sha256(), hashlib.sha256()
    whole = pa.types.is_integer(column.type)
    kind = pa.int64() if whole else pa.large_binary()
    for start in range(0, len(column), _BLOCK):
        for chunk in column.slice(start, _BLOCK).cast(kind).chunks:
            if whole:
                content.update(chunk.to_numpy(zero_copy_only=False).tobytes())
                continue
            _, offsets, values = chunk.buffers()
            ends = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            lengths.update(np.diff(ends).tobytes())
            if values is not None:
                content.update(memoryview(values)[ends[0] : ends[-1]])
    return _joined(str(kind).encode(), len(column), lengths.digest(), content.digest())


def _of(array: np.ndarray, dtype: type[np.generic]) -> bytes:
    """Digest of an array as if it were of a dtype, block by block."""
    found = hashlib.sha256(array.size.to_bytes(8, "big"))
    for start in range(0, array.size, _BLOCK):
        found.update(array[start : start + _BLOCK].astype(dtype).tobytes())
    return found.digest()


def _joined(*parts: bytes | int) -> str:
    """Digest of some of a length that does not vary."""
    whole = (part.to_bytes(8, "big") if isinstance(part, int) else part for part in parts)
    return hashlib.sha256(b"".join(whole)).hexdigest()
