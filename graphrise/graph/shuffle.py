"""The same graph over the wrong images: the control beside every gain, or some of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from graphrise.graph.store import Graph


def shuffle_nodes(graph: Graph, seed: int, share: float = 1.0) -> Graph:
    """The graph with its nodes dealt out anew: edge (u, v) becomes (p(u), p(v)), p a permutation.

    Degrees, weights and symmetry stay; what an edge says about two images is lost. Labels stay with
    their images.

    Args:
        graph: The graph.
        seed: Fixes the permutation.
        share: Of the nodes, drawn at random, which are dealt among themselves, in 0..1. An edge
            stays what it was where neither end is of them: a share of about (1 - share)^2.
    """
    place = _permutation(graph.num_nodes, seed, share)
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


def _permutation(count: int, seed: int, share: float) -> np.ndarray:
    draw = np.random.default_rng(seed)
    order = draw.permutation(count)
    if share == 1:
        return order
    moved = np.sort(order[: round(share * count)])
    place = np.arange(count)
    place[moved] = draw.permutation(moved)
    return place
