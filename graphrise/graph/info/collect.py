"""What a graph looks like and whether it is sound (`graphrise graph-info`)."""

from __future__ import annotations

from typing import Any

from graphrise.graph.engine.base import Display, Stages
from graphrise.graph.info.check import check_graph
from graphrise.graph.info.components import component_info
from graphrise.graph.info.counts import degree_info, edge_counts, value_info
from graphrise.graph.info.homophily import label_homophily
from graphrise.graph.info.labels import label_info, unlabelled_info
from graphrise.graph.store import Graph


def graph_info(graph: Graph, *, display: Display | None = None) -> dict[str, Any]:
    """Count a graph and check it, block by block: memory grows with nodes and labels, not edges.

    Args:
        graph: The graph, usually opened from a folder.
        display: Gets the stage's name and the fraction of it done.

    Returns:
        Plain values, ready for JSON. `nodes`, `edges` (undirected), `problems`: what the
        self-check found, as sentences, none if the graph is sound. Unless that leaves nothing to
        count (`counted` is false) also `kinds` and `combinations` (`edge_counts`), `degree`
        (`degree_info`), `strength` and `weight` (`value_info`), `components` (`component_info`),
        `labels` by source (`label_info`), `unlabelled` (`unlabelled_info`) and `homophily`
        (`label_homophily`). A share of nothing is None.
    """
    stages = Stages(display)
    problems, countable = check_graph(graph, stages)
    info = {
        "nodes": graph.num_nodes,
        "edges": graph.num_edges // 2,
        "problems": problems,
        "counted": countable,
    }
    if not countable:
        return info
    stages.start("counting")
    kinds, combinations = edge_counts(graph)
    info |= {
        "kinds": kinds,
        "combinations": combinations,
        "degree": degree_info(graph.rowptr),
        "strength": value_info(graph.strength),
        "weight": value_info(graph.weight),
    }
    info["labels"] = {
        source: label_info(graph.labels[source], len(graph.vocabulary[source]))
        for source in sorted(graph.labels)
    }
    info["unlabelled"] = unlabelled_info(graph)
    stages.start("components")
    info["components"] = component_info(graph)
    info["homophily"] = [
        row for source in sorted(graph.labels) for row in label_homophily(graph, source, stages)
    ]
    return info
