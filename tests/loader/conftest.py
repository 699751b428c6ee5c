"""Random graphs of several kinds, and readers whose pictures are numbers."""

import dataclasses

import numpy as np
import pytest
import torch

from graphrise.images.reader import ImageReader


def graph_of_kinds(make, nodes, edges, seed=0, labelled=0.5):
    """About `edges` random edges, each of a random set of kinds (1, 2, 4); some nodes labelled."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, max(nodes - 1, 1), (edges, 2)) if nodes > 1 else np.empty((0, 2), int)
    pairs = sorted({(int(min(e)), int(max(e))) for e in ends if e[0] != e[1]})
    labels = {n: {n % 3: 1.0} for n in range(nodes) if rng.random() < labelled}
    graph = make.made_graph(nodes, [(u, v, rng.random() + 0.05) for u, v in pairs], labels)
    bits = {pair: int(rng.integers(1, 8)) for pair in pairs}
    row = np.repeat(np.arange(nodes), np.diff(graph.rowptr))
    both = zip(row.tolist(), graph.col.tolist(), strict=True)
    kind = np.array([bits[min(e), max(e)] for e in both], dtype=np.uint8)
    return dataclasses.replace(graph, kind=kind)


def edges_of(graph, node, mask=255, to=None):
    """A row by a loop: (edge, neighbour, weight) of some kinds, to some nodes (None: any)."""
    return [
        (e, int(graph.col[e]), float(graph.weight[e]))
        for e in range(int(graph.rowptr[node]), int(graph.rowptr[node + 1]))
        if graph.kind[e] & mask and (to is None or int(graph.col[e]) in to)
    ]


def labelled_of(graph):
    """Labelled and unlabelled nodes, int64 arrays."""
    has = graph.labels["given"].counts > 0
    return np.flatnonzero(has), np.flatnonzero(~has)


class Numbers(ImageReader):
    """A picture of an image is its number; some may be bad."""

    def __init__(self, bad=(), error=None):
        self.bad, self.error = set(bad), error

    def read_noting(self, positions):
        found = self.bad & set(positions.tolist())
        if found and self.error is not None:
            raise self.error
        pictures = positions.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).contiguous()
        return pictures, {n: f"wreck {n}" for n in found}


class Helpers:
    """The functions above, for tests: a conftest cannot be imported."""

    Numbers = Numbers
    graph_of_kinds = staticmethod(graph_of_kinds)
    edges_of = staticmethod(edges_of)
    labelled_of = staticmethod(labelled_of)


@pytest.fixture(scope="session")
def graphs():
    return Helpers
