"""The self-check: a sound graph passes, and every way to be unsound is named."""

import dataclasses

import numpy as np
import pytest

from graphrise.graph.draws import row_blocks
from graphrise.graph.engine.base import Stages
from graphrise.graph.info import check as module
from graphrise.graph.info.check import check_graph
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import KINDS

EDGES = [(0, 1, 0.5), (0, 3, 0.25), (1, 3, 1.0)]
LABELS = {0: {0: 1.0}, 3: {1: 0.5, 2: 0.5}}
# Places:  0: 1 3 | 1: 0 3 | 2: none | 3: 0 1


@pytest.fixture(params=[1, None])
def graph(make, request, monkeypatch):
    """A sound graph; blocks of one node, and one of all."""
    if request.param:
        monkeypatch.setattr(module, "row_blocks", lambda rowptr: row_blocks(rowptr, 1))
    return make.made_graph(4, EDGES, LABELS)


def check(graph, **changed):
    return check_graph(dataclasses.replace(graph, **changed), Stages())


def put(array, place, value):
    array = array.copy()
    array[place] = value
    return array


def test_a_sound_graph(graph):
    assert check(graph) == ([], True)
    own = np.full(6, 17, dtype=np.uint8)
    assert check(graph, kind=own, kinds=KINDS | {"bought": 16}) == ([], True)


def test_rows_that_end_and_begin_alike(make):
    """0: 2 | 1: 2 | 2: 0 1 has the same target twice in a run, in two rows."""
    assert check(make.made_graph(3, [(0, 2, 0.5), (1, 2, 0.5)])) == ([], True)


@pytest.mark.parametrize("nodes", [0, 1, 3])
def test_without_edges_or_labels(make, nodes):
    bare = make.made_graph(nodes, [])
    assert check(bare) == ([], True)
    assert check(bare, labels={}, vocabulary={}) == ([], True)


def first(u, v):
    """How a problem ends that one edge has."""
    name = f"'image-{v}'" if 0 <= v < 4 else "none"
    return f": 1, the first {u} -> {v} (image 'image-{u}' -> {name})."


@pytest.mark.parametrize(
    ("name", "place", "value", "problem"),
    [
        ("col", 5, 4, "Edges to a node that does not exist" + first(3, 4)),
        ("col", 0, -1, "Edges to a node that does not exist" + first(0, -1)),
        ("weight", 3, np.nan, "Edges whose weight is not finite and above 0" + first(1, 3)),
        ("weight", 3, np.inf, "Edges whose weight is not finite and above 0" + first(1, 3)),
        ("weight", 2, 0, "Edges whose weight is not finite and above 0" + first(1, 0)),
        ("weight", 2, -0.5, "Edges whose weight is not finite and above 0" + first(1, 0)),
        ("kind", 1, 0, "Edges of a kind without a name" + first(0, 3)),
        ("kind", 4, 1 | 16, "Edges of a kind without a name" + first(3, 0)),
    ],
)
def test_impossible_edges(graph, name, place, value, problem):
    problems, countable = check(graph, **{name: put(getattr(graph, name), place, value)})
    assert problem in problems
    assert not countable
    # A changed weight is not the stored strength's, a changed target is out of order: no more.
    assert len(problems) <= 2


def test_counts_are_over_all_blocks(graph):
    problems, _ = check(graph, weight=put(graph.weight, [1, 3, 5], 0))
    assert problems[0].startswith(
        "Edges whose weight is not finite and above 0: 3, the first 0 -> 3"
    )
    assert problems[1].startswith(
        "Strengths that are not the sum of the edge weights: 3, the first"
    )


@pytest.mark.parametrize(("place", "value"), [(3, 1.2), (2, np.nan), (2, 0.1)])
def test_strengths_of_other_weights(graph, place, value):
    assert check(graph, strength=put(graph.strength, place, value)) == (
        [
            f"Strengths that are not the sum of the edge weights: 1, the first at node {place} "
            f"(image 'image-{place}')."
        ],
        False,
    )


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (0, 0, "Edges from a node to itself" + first(0, 0)),
        (5, 0, "Edges that stand twice" + first(3, 0)),
        ([4, 5], [1, 0], "Edges after one to a higher node" + first(3, 0)),
    ],
)
def test_rows_out_of_order(graph, place, value, problem):
    problems, countable = check(
        graph, col=put(graph.col, place, value), strength=None, cumulative=None
    )
    assert problems == [problem]
    assert countable


def test_directions_that_differ(graph):
    problems, countable = check(graph, kind=put(graph.kind, 4, 4))
    assert problems == [
        "Edges whose reverse has another kind: 2, the first 0 -> 3 (image 'image-0' -> 'image-3')."
    ]
    assert countable
    problems, countable = check(
        graph, weight=put(graph.weight, 1, 0.5), strength=None, cumulative=None
    )
    assert problems == [
        "Edges whose reverse has another weight: 2, the first 0 -> 3 "
        "(image 'image-0' -> 'image-3')."
    ]
    assert countable
    problems, countable = check(graph, col=put(graph.col, 5, 2))
    assert problems == [
        "Edges without their reverse: 2, the first 1 -> 3 (image 'image-1' -> 'image-3')."
    ]
    assert countable


def test_label_values(graph):
    labels = graph.labels["given"]

    def with_labels(**changed):
        return check(graph, labels={"given": dataclasses.replace(labels, **changed)})

    for value in (-1, 3):
        assert with_labels(index=put(labels.index, 1, value)) == (
            ["Labels (given) that the vocabulary lacks: 1, the first at node 3 (image 'image-3')."],
            False,
        )
    for value in (np.nan, np.inf, 0, -1):
        problems, countable = with_labels(weight=put(labels.weight, 0, value))
        assert problems[0] == (
            "Labels (given) whose weight is not finite and above 0: 1, the first at node 0 "
            "(image 'image-0')."
        )
        assert not countable
    for value in (0.5 - 2e-3, 0.5 + 2e-3):
        assert with_labels(weight=put(labels.weight, 2, value)) == (
            [
                "Nodes whose label weights (given) do not sum to 1: 1, the first at node 3 "
                "(image 'image-3')."
            ],
            True,
        )
    assert with_labels(weight=put(labels.weight, 2, 0.5 + 5e-4)) == ([], True)


def test_label_problems_do_not_stop_the_look_up(graph):
    labels = graph.labels["given"]
    light = Ragged(labels.rowptr, labels.index, labels.weight / 2)
    problems, _ = check(graph, kind=put(graph.kind, 0, 4), labels={"given": light})
    assert [text.split(":")[0] for text in problems] == [
        "Nodes whose label weights (given) do not sum to 1",
        "Edges whose reverse has another kind",
    ]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("rowptr", [1, 2, 4, 4, 6], "rowptr does not start at 0."),
        ("rowptr", [], "rowptr does not start at 0."),
        ("rowptr", [0, 4, 2, 4, 6], "rowptr falls after node 1."),
        ("rowptr", [0, 2, 4, 4, 5], "col has 6 entries, not 5."),
        ("col", [1], "col has 1 entries, not 6."),
        ("weight", [1.0], "weight has 1 entries, not 6."),
        ("kind", [1], "kind has 1 entries, not 6."),
        ("cumulative", [1], "cumulative has 1 entries, not 6."),
        ("strength", [1.0], "strength has 1 entries, not 4."),
        ("image_ids", ["a"] * 1000, "image_ids has 1,000 entries, not 4."),
    ],
)
def test_arrays_that_do_not_fit(graph, name, value, problem):
    value = value if name == "image_ids" else np.array(value, dtype=getattr(graph, name).dtype)
    problems, countable = check(graph, **{name: value})
    assert problem in problems
    assert not countable


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("rowptr", [1, 1, 1, 1, 3], "labels_given_rowptr does not start at 0."),
        ("rowptr", [0, 2, 1, 1, 3], "labels_given_rowptr falls after node 1."),
        ("rowptr", [0, 3], "labels_given_rowptr has 2 entries, not 5."),
        ("index", [0], "labels_given_index has 1 entries, not 3."),
        ("weight", [1.0], "labels_given_weight has 1 entries, not 3."),
    ],
)
def test_labels_that_do_not_fit(graph, name, value, problem):
    labels = graph.labels["given"]
    value = np.array(value, dtype=getattr(labels, name).dtype)
    assert check(graph, labels={"given": dataclasses.replace(labels, **{name: value})}) == (
        [problem],
        False,
    )
    problems, countable = check(graph, vocabulary={})
    assert problems[0].startswith("Labels (given) that the vocabulary lacks: 3, ")
    assert not countable


def test_progress(make):
    said = []
    stages = Stages(lambda name, fraction: said.append((name, fraction)))
    check_graph(make.made_graph(4, EDGES, LABELS), stages)
    names = ("checking edges", "checking reverse edges")
    assert said == [(name, fraction) for name in names for fraction in (None, 1.0)]
