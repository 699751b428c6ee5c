"""`graph_info` as a whole: JSON, small and empty graphs, memory maps, damaged graphs."""

import dataclasses
import json

import numpy as np
import pytest

from graphrise.graph.info.collect import graph_info
from graphrise.graph.ragged import from_entries
from graphrise.graph.store import KINDS, open_graph, save_graph


@pytest.fixture
def graph(make):
    """Two triangles of one label each, joined by an edge, and an image alone."""
    edges = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5), (2, 3)]
    made = make.made_graph(
        7,
        [(u, v, 1.0 + (u + v) / 8) for u, v in edges],
        {n: {n // 3: 1.0} for n in range(6) if n != 5},
    )
    made.labels["queries"] = from_entries(np.array([6, 6]), np.array([0, 1]), np.ones(2), 7)
    made.vocabulary["queries"] = ["x", "y"]
    kind = np.where((made.col + np.repeat(np.arange(7), np.diff(made.rowptr))) == 5, 17, 1)
    return dataclasses.replace(
        made, kind=kind.astype(np.uint8), kinds=KINDS | {"bought together": 16}
    )


def test_figures(graph):
    info = graph_info(graph)
    assert (info["nodes"], info["edges"], info["problems"], info["counted"]) == (7, 7, [], True)
    assert info["kinds"] == {
        "coclick": 7, "similar": 0, "knn": 0, "given": 0, "bought together": 1
    }  # fmt: skip
    assert info["combinations"] == {"coclick + bought together": 1}
    degree = info["degree"]
    assert (degree["min"], degree["median"], degree["max"], degree["mean"]) == (0, 2, 3, 2.0)
    assert info["weight"]["min"] == 1.125
    assert info["weight"]["max"] == 2.125
    assert info["strength"]["min"] == 0
    assert info["strength"]["max"] == graph.strength.max()
    assert info["components"] == {
        "number": 2, "isolated": 1, "largest": 6, "largest_share": 6 / 7
    }  # fmt: skip
    assert list(info["labels"]) == ["given", "queries"]
    assert info["labels"]["given"]["labelled"] == 5
    assert info["labels"]["queries"]["vocabulary"] == 2
    assert info["unlabelled"] == {"nodes": 1, "share": 1 / 7, "isolated": 0, "isolated_share": 0.0}
    rows = {(row["source"], row["kind"]): row for row in info["homophily"]}
    assert len(rows) == 2 * (1 + 5)
    assert rows["given", None]["edges"] == 5
    assert rows["given", None]["same"] == 4 / 5
    assert rows["given", "bought together"]["same"] == 0
    assert rows["queries", None]["edges"] == 0


def test_the_same_from_a_folder_and_through_json(graph, tmp_path):
    info = graph_info(graph)
    save_graph(graph, tmp_path / "g")
    assert graph_info(open_graph(tmp_path / "g")) == info
    assert json.loads(json.dumps(info, allow_nan=False)) == info


@pytest.mark.parametrize("nodes", [0, 1, 3])
@pytest.mark.parametrize("labelled", [True, False])
def test_without_edges(make, nodes, labelled):
    graph = make.made_graph(nodes, [], {0: {1: 1.0}} if nodes and labelled else {})
    if not labelled:
        graph = dataclasses.replace(graph, labels={}, vocabulary={})
    info = graph_info(graph)
    json.dumps(info, allow_nan=False)
    assert (info["nodes"], info["edges"], info["problems"], info["counted"]) == (nodes, 0, [], True)
    assert info["weight"] is None
    assert set(info["kinds"].values()) == {0}
    assert info["combinations"] == {}
    assert info["components"]["number"] == info["components"]["isolated"] == nodes
    assert info["unlabelled"]["isolated"] == nodes - (labelled and nodes > 0)
    if nodes:
        assert info["degree"]["histogram"] == [{"from": 0, "to": 0, "nodes": nodes}]
        assert info["strength"]["max"] == 0
    assert [row["same"] for row in info["homophily"]] == [None] * (5 if labelled else 0)


def test_an_unsound_graph_is_counted_and_a_damaged_one_is_not(graph):
    unsound = dataclasses.replace(graph, kind=np.where(graph.col == 0, 2, 1).astype(np.uint8))
    info = graph_info(unsound)
    assert len(info["problems"]) == 1
    assert info["degree"]["max"] == 3
    damaged = dataclasses.replace(graph, col=np.full_like(graph.col, 99))
    info = graph_info(damaged)
    assert info == {
        "nodes": 7, "edges": 7, "problems": info["problems"], "counted": False
    }  # fmt: skip
    assert "Edges to a node that does not exist: 14, the first 0 -> 99" in info["problems"][0]


def test_every_stage_is_told(graph):
    said = []
    graph_info(graph, display=lambda name, fraction: said.append(name))
    assert list(dict.fromkeys(said)) == [
        "checking edges",
        "checking reverse edges",
        "counting",
        "components",
        "label homophily (given)",
        "label homophily (queries)",
    ]
