"""What tells one graph's images and labels from another's, whatever files hold them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from graphrise.graph.store import Graph, as_column

_BLOCK = 1 << 20


def fingerprint(graph: Graph, sources: Sequence[str]) -> dict[str, str]:
    """Digests of the images, in the order of nodes, and of label names, in the order of labels.

    Args:
        graph: The graph.
        sources: Label sources.

    Returns:
        SHA-256 in hexadecimal by `images` and `labels SOURCE`.
    """
    named: dict[str, Sequence[str | int]] = {"images": graph.image_ids}
    named |= {f"labels {source}": graph.vocabulary[source] for source in sources}
    return {name: digest(of) for name, of in named.items()}


def digest(names: Sequence[str | int]) -> str:
    """SHA-256 of a sequence of strings or whole numbers, in hexadecimal.

    It is that of the names, not of how a file or a list holds them; 1 and "1" differ.
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
    parts = (str(kind).encode(), len(column).to_bytes(8, "big"), lengths.digest(), content.digest())
    return hashlib.sha256(b"".join(parts)).hexdigest()
