"""Labels spread over the graph, so that unlabelled images are trained on by themselves."""

from __future__ import annotations

from pathlib import Path

from graphrise.graph.ragged import Ragged
from graphrise.graph.store import Graph
from graphrise.ops.sparse_rows import SparseRows, propagate_sparse


def spread_labels(
    graph: Graph,
    labels: Ragged,
    *,
    power: float = 2.0,
    top: int = 8,
    steps: int = 1,
    folder: Path | None = None,
) -> Ragged:
    """Mix every node's labels with its neighbours' and sharpen: `q'_v ~ (q_v + sum_u w_uv q_u)^s`.

    A scatter aggregation of sparse rows (DESIGN section 2; ours, beyond the paper), node block by
    node block. Nodes without labels in reach stay unlabelled.

    Args:
        graph: The similarity graph; weights are used as they are.
        labels: Distribution q of its N nodes.
        power: Exponent s, above 0; above 1 sharpens.
        top: Labels kept per node, at least 1; among equals the lowest ids.
        steps: Times it is done; 0 gives the labels as they are.
        folder: New folder for the result, which is mapped from there (a graph of hundreds of
            millions of images); None: memory.

    Returns:
        Distributions q' of the N nodes, each summing to 1.

    Raises:
        ConfigError: `power`, `top` or `steps` is out of range, or `labels` is of another graph.
        DataError: `folder` exists.
    """
    rows = SparseRows(labels.rowptr, labels.index, labels.weight)
    found = propagate_sparse(
        graph.rowptr,
        graph.col,
        graph.weight,
        rows,
        steps=steps,
        power=power,
        top=top,
        folder=folder,
    )
    return Ragged(*found)
