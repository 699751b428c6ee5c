"""Labels that a run starts from: one source of the graph, or two of them in one vocabulary."""

from __future__ import annotations

import numpy as np

from graphrise.config import LabelConfig
from graphrise.graph.build import require_labels
from graphrise.graph.ragged import Ragged, from_entries
from graphrise.graph.store import Graph


def source_labels(graph: Graph, settings: LabelConfig) -> tuple[Ragged, int]:
    """Soft labels of a graph as settings name them, before they are spread.

    Args:
        graph: The graph.
        settings: `source`, and `given_share` where that is both.

    Returns:
        Labels of the N nodes, mapped from the graph folder (both: in memory), and C, the size of
        their vocabulary.

    Raises:
        DataError: No image of the graph has a label of a source that is asked for.
    """
    if settings.source != "both":
        labels = require_labels(graph, settings.source)
        return labels, len(graph.vocabulary[settings.source])
    given, queries = (require_labels(graph, source) for source in ("given", "queries"))
    sizes = len(graph.vocabulary["given"]), len(graph.vocabulary["queries"])
    labels, _ = both_labels(given, queries, sizes, given_share=settings.given_share)
    return labels, sum(sizes)


def both_labels(
    given: Ragged, queries: Ragged, sizes: tuple[int, int], *, given_share: float = 0.5
) -> tuple[Ragged, np.ndarray]:
    """Two label distributions of the same images as one over both vocabularies.

    An image that has both gets `given_share` of its mass from `given`, one that has either keeps
    that. Labels are numbered by falling mass over all images, as sampled heads want them, equal
    ones in the order of the vocabularies. In memory: about 100 bytes an entry while it is made.

    Args:
        given: Of N nodes.
        queries: Of the same N nodes.
        sizes: Labels that each vocabulary has.
        given_share: In (0, 1).

    Returns:
        Distributions of the N nodes, and int64 `[C]`: where each label was, in the vocabulary of
        `given` followed by that of `queries`.
    """
    nodes = np.arange(len(given))
    row = np.concatenate([np.repeat(nodes, given.counts), np.repeat(nodes, queries.counts)])
    index = np.concatenate([given.index, np.asarray(queries.index) + sizes[0]])
    weight = np.concatenate(
        [
            np.asarray(given.weight, dtype=np.float64) * given_share,
            np.asarray(queries.weight, dtype=np.float64) * (1 - given_share),
        ]
    )
    total = np.bincount(row, weights=weight, minlength=nodes.size)
    mass = np.bincount(index, weights=weight / total[row], minlength=sum(sizes))
    was = np.argsort(-mass, kind="stable")
    number = np.empty_like(was)
    number[was] = np.arange(was.size)
    return from_entries(row, number[index], weight, nodes.size), was
