"""Label homophily: how often an edge joins two nodes of one label, by kind of edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from graphrise.graph.draws import row_blocks
from graphrise.graph.engine.base import Stages
from graphrise.graph.info.counts import share
from graphrise.graph.info.labels import heaviest_labels
from graphrise.graph.store import Graph


@dataclass
class _Tally:
    """Directed edges of one kind whose ends both have labels.

    Attributes:
        kind: Name, None for edges of any kind.
        bits: Bits of which an edge has at least one.
        ends: int64 `[K]`, ends of these edges at nodes of each label.
    """

    kind: str | None
    bits: int
    ends: np.ndarray
    edges: int = 0
    same: int = 0
    weight: float = 0.0
    same_weight: float = 0.0

    def result(self, source: str) -> dict[str, Any]:
        """Homophily of what was counted."""
        same = share(self.same, self.edges)
        by_chance = share(float(np.square(self.ends, dtype=np.float64).sum()), self.edges**2)
        adjusted = None
        if same is not None and by_chance is not None and by_chance < 1:
            adjusted = (same - by_chance) / (1 - by_chance)
        return {
            "source": source,
            "kind": self.kind,
            "edges": self.edges // 2,
            "same": same,
            "same_by_weight": share(self.same_weight, self.weight),
            "expected": by_chance,
            "adjusted": adjusted,
        }


def label_homophily(graph: Graph, source: str, stages: Stages) -> list[dict[str, Any]]:
    """Label homophily of a graph by kind of edge, of edges whose ends both have labels.

    Of each node the heaviest label counts. Adjusted homophily is that of Platonov et al.
    ("Characterizing graph datasets for node classification: homophily-heterophily dichotomy and
    beyond", 2023), here on the edges of one kind between labelled nodes.

    Args:
        graph: The graph.
        source: Label source.
        stages: Told how far this is.

    Returns:
        One dict for edges of any kind (`kind` is None) and one for each kind: `source`, `kind`,
        `edges` (undirected, both ends labelled), `same` (share of these that join equal labels),
        `same_by_weight` (the same, of their weight), `expected` (`same` if the ends were wired at
        random) and `adjusted`, `(same - expected) / (1 - expected)`. Without an edge all shares are
        None, with one label only `adjusted` is.
    """
    stages.start(f"label homophily ({source})")
    size = len(graph.vocabulary[source])
    top = heaviest_labels(graph.labels[source], size)
    tallies = [
        _Tally(kind, bits, np.zeros(size, dtype=np.int64))
        for kind, bits in [(None, 255), *sorted(graph.kinds.items(), key=lambda kind: kind[1])]
    ]
    for first, last in row_blocks(graph.rowptr):
        _count(graph, first, last, top, tallies)
        stages.done(int(graph.rowptr[last]) / max(1, graph.num_edges))
    return [tally.result(source) for tally in tallies]


def _count(graph: Graph, first: int, last: int, top: np.ndarray, tallies: list[_Tally]) -> None:
    """Add the edges of nodes `[first, last)`."""
    begin, end = int(graph.rowptr[first]), int(graph.rowptr[last])
    row = np.repeat(top[first:last], np.diff(graph.rowptr[first : last + 1]))
    other = top[graph.col[begin:end]]
    both = np.flatnonzero((row >= 0) & (other >= 0))
    row, same = row[both], row[both] == other[both]
    kind, weight = graph.kind[begin:end][both], graph.weight[begin:end][both].astype(np.float64)
    for tally in tallies:
        of_kind = kind & tally.bits != 0
        alike = of_kind & same
        tally.edges += int(np.count_nonzero(of_kind))
        tally.same += int(np.count_nonzero(alike))
        tally.weight += float(weight[of_kind].sum())
        tally.same_weight += float(weight[alike].sum())
        np.add.at(tally.ends, row[of_kind], 1)
