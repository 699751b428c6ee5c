"""Fingerprints: of the names and their order, whatever holds them."""

import dataclasses

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphrise.errors import DataError
from graphrise.graph import fingerprint as module
from graphrise.graph.fingerprint import digest
from graphrise.graph.names import Names
from graphrise.graph.store import open_graph, save_graph

NAMES = st.lists(st.text(max_size=4), max_size=12)


@given(NAMES, st.integers(0, 12), st.integers(0, 3), st.integers(1, 5))
def test_of_a_list_and_of_any_column(names, cut, skipped, block):
    want = digest(names)
    whole = pa.array(["x"] * skipped + names, type=pa.string())[skipped:]
    column = pa.chunked_array([whole[:cut], whole[cut:]], type=pa.string())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        assert digest(Names(column)) == want
        assert digest(Names(column.cast(pa.large_string()))) == want


@given(NAMES, NAMES)
def test_of_these_names_in_this_order(one, other):
    assert (digest(one) == digest(other)) == (one == other)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8))
def test_numbers(numbers):
    assert digest(numbers) == digest(Names(pa.chunked_array([numbers], type=pa.int64())))
    assert digest(numbers) != digest([str(number) for number in numbers])
    assert digest(numbers) != digest([*numbers, 0])


def test_small_numbers_are_numbers():
    assert digest(Names(pa.chunked_array([[1, 2]], type=pa.int32()))) == digest([1, 2])


def prints(graph):
    return {
        "images": module.image_names(graph),
        "names": module.label_names(graph, "given"),
        "labels": module.image_labels(graph, "given"),
        "edges": module.edges(graph),
    }


@pytest.fixture
def graph(make):
    pairs = [(0, 1, 1.0), (1, 2, 0.5), (2, 3, 0.25)]
    return make.made_graph(4, pairs, labels={n: {n % 3: 1.0} for n in range(3)})


def test_in_memory_and_on_disk(graph, tmp_path):
    save_graph(graph, tmp_path / "graph")
    assert prints(open_graph(tmp_path / "graph")) == prints(graph)


def other_labels(graph, **parts):
    return {"labels": {"given": dataclasses.replace(graph.labels["given"], **parts)}}


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("images", lambda g: {"image_ids": list(reversed(list(g.image_ids)))}),
        ("names", lambda g: {"vocabulary": {"given": list(reversed(g.vocabulary["given"]))}}),
        ("labels", lambda g: other_labels(g, index=g.labels["given"].index[::-1].copy())),
        ("labels", lambda g: other_labels(g, weight=g.labels["given"].weight / 2)),
        ("edges", lambda g: {"weight": g.weight * 2}),
        ("edges", lambda g: {"col": (g.col + 1) % 4}),
        ("edges", lambda g: {"kind": g.kind + 1}),
        ("edges", lambda g: {"rowptr": g.rowptr[[0, 2, 2, 3, 4]]}),
    ],
)
def test_what_changes(graph, what, change):
    before, after = prints(graph), prints(dataclasses.replace(graph, **change(graph)))
    assert {name for name in before if before[name] != after[name]} == {what}


def test_of_many_edges_some_are_looked_at(graph, monkeypatch):
    monkeypatch.setattr(module, "_EDGES", 3)  # every second of six
    before = module.edges(graph)
    for place in range(graph.num_edges):
        weight = graph.weight.copy()
        weight[place] += 1
        differs = module.edges(dataclasses.replace(graph, weight=weight)) != before
        assert differs == (place % 2 == 0)


def test_labels_that_are_not_there(graph):
    for of in (module.label_names, module.image_labels):
        with pytest.raises(DataError, match="no labels of source 'queries', only given"):
            of(graph, "queries")
