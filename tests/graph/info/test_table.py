"""The tables: readable at 80 columns, whatever names hold."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from graphrise.graph.info.collect import graph_info
from graphrise.graph.info.table import print_info
from graphrise.graph.store import KINDS


def printed(info, width=80):
    text = io.StringIO()
    print_info(info, Console(file=text, width=width, color_system=None))
    return text.getvalue()


@pytest.fixture
def graph(make):
    edges = [(0, 1, 0.5), (0, 2, 1234.5), (1, 2, 1.0)]
    return make.made_graph(5, edges, {0: {0: 1.0}, 1: {0: 0.75, 1: 0.25}, 2: {1: 1.0}})


def rows(text):
    """Lines as words, for comparisons that do not depend on column widths."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_figures(graph):
    found = rows(printed(graph_info(graph)))
    for line in (
        "nodes 5",
        "isolated 2 40.0%",
        "without a label 2 40.0%",
        "isolated and without a label 2 40.0%",
        "components 3",
        "nodes in the largest 3 60.0%",
        "edges 3",
        "coclick 3 100.0%",
        "knn 0 0.0%",
        "neighbours per node 0 2 1.2 2 2 2",
        "weight per edge 0.5 1 412 1,234 1,234 1,234",
        "0 2 40.0% " + "#" * 14,
        "1 0 0.0%",
        "2 to 3 3 60.0% " + "#" * 20,
        "given 3 60.0% 1.333 2 3 66.7%",
        "given any 3 33.3% 0.0405% 55.6% -0.500",
        "given coclick 3 33.3% 0.0405% 55.6% -0.500",
        "Self-check: sound.",
    ):
        assert line in found
    assert not any(line.startswith("given knn") for line in found)


def test_a_combination_of_kinds(graph):
    graph = dataclasses.replace(graph, kind=np.full(6, 5, dtype=np.uint8))
    assert "only coclick + knn 3 100.0%" in rows(printed(graph_info(graph)))


def test_names_that_are_long_or_look_like_markup(graph):
    name, source = "[bold]" + "bought-together-" * 5, "[red]" + "s" * 40
    labels, words = {source: graph.labels["given"]}, {source: graph.vocabulary["given"]}
    info = graph_info(
        dataclasses.replace(
            graph,
            kind=np.full(6, 16, dtype=np.uint8),
            kinds=KINDS | {name: 16},
            labels=labels,
            vocabulary=words,
        )
    )
    text = printed(info)
    assert max(map(len, text.splitlines())) <= 80
    whole = "".join(text.split())
    assert "[bold]" in whole
    assert "[red]" in whole
    # No figure is cut.
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    for figure in ("100.0%", "55.6%", "-0.500", "66.7%"):
        assert figure in text


def test_problems(graph):
    graph = dataclasses.replace(
        graph, image_ids=["[red]a[/red]", *"bcde"], kind=np.array([1, 1, 1, 1, 4, 1], np.uint8)
    )
    text = printed(graph_info(graph))
    assert "sound" not in text
    assert text.splitlines()[-2:] == [
        "Self-check: failed. Build the graph again.",
        "- Edges whose reverse has another kind: 2, the first 0 -> 2 "
        "(image '[red]a[/red]' -> 'c').",
    ]


def test_a_graph_that_cannot_be_counted(graph):
    text = printed(graph_info(dataclasses.replace(graph, weight=-graph.weight)))
    assert text.splitlines()[0] == "5 nodes, 3 edges; not counted."
    assert "Self-check: failed. Build the graph again." in text
    assert "- Edges whose weight is not finite and above 0: 6, the first 0 -> 1" in text


@pytest.mark.parametrize("nodes", [0, 1])
def test_without_edges(make, nodes):
    bare = make.made_graph(nodes, [])
    assert "Self-check: sound." in printed(graph_info(bare))
    text = printed(graph_info(dataclasses.replace(bare, labels={}, vocabulary={})))
    assert "Labels" not in text
    assert "weight per edge \N{EN DASH}" in " ".join(text.split())


def test_to_stdout(graph, capsys):
    print_info(graph_info(graph))
    assert "Self-check: sound." in capsys.readouterr().out
