"""The control beside every gain: the same graph over the wrong images."""

from __future__ import annotations

import dataclasses

import numpy as np

from graphrise.graph.store import Graph


def shuffle_nodes(graph: Graph, seed: int) -> Graph:
    """The graph with its nodes dealt out anew: edge (u, v) becomes (p(u), p(v)), p a permutation.

    Degrees, weights and symmetry stay; what an edge says about two images is lost. Labels stay with
    their images.

    Args:
        graph: The graph.
        seed: Fixes the permutation.
    """
    place = np.random.default_rng(seed).permutation(graph.num_nodes)
    degree = np.diff(graph.rowptr)
    row = place[np.repeat(np.arange(graph.num_nodes), degree)]
    col = place[np.asarray(graph.col)]
    order = np.lexsort((col, row))
    rowptr = np.zeros(graph.num_nodes + 1, dtype=np.int64)
    np.cumsum(np.bincount(row, minlength=graph.num_nodes), out=rowptr[1:])
    return dataclasses.replace(
        graph,
        rowptr=rowptr,
        col=col[order].astype(graph.col.dtype),
        weight=np.asarray(graph.weight)[order],
        kind=np.asarray(graph.kind)[order],
        strength=None,  # these two are made anew
        cumulative=None,
    )
