"""From nodes of a graph to rows of images.parquet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from graphrise.data.tables import ImageTable
from graphrise.errors import DataError
from graphrise.graph.store import Graph, as_column

pc: Any = pyarrow.compute  # its functions are made at import; type checkers see none


def image_rows(graph: Graph, images: ImageTable) -> np.ndarray:
    """Row of each node's image, int64 `[N]`.

    Args:
        graph: Names the images of its N nodes.
        images: The table they are to be found in.

    Raises:
        DataError: An image of the graph is not in the table.
    """
    ids, nodes = images.table.column("image_id"), as_column(graph.image_ids)
    if len(ids) == len(nodes) and ids.type == nodes.type and ids.equals(nodes):
        return np.arange(len(ids))
    whole = pa.large_string() if not pa.types.is_integer(nodes.type) else pa.int64()
    found = pc.index_in(nodes.cast(whole), value_set=ids.cast(whole))
    if found.null_count:
        first = nodes[pc.index(pc.is_null(found), True).as_py()].as_py()
        raise DataError(
            f"{images.folder / 'images.parquet'}: {found.null_count:,} images of the graph are "
            f"not in it, the first is {first!r}; was the graph built from another dataset?"
        )
    return found.to_numpy().astype(np.int64)
