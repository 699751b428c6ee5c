"""Fingerprints: of the names and their order, whatever holds them."""

import dataclasses

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphrise.graph import fingerprint as module
from graphrise.graph.fingerprint import digest, fingerprint
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


def test_of_a_graph_in_memory_and_on_disk(make, tmp_path):
    graph = make.made_graph(3, [(0, 1, 1.0)], labels={n: {n: 1.0} for n in range(3)})
    save_graph(graph, tmp_path / "graph")
    found = fingerprint(graph, ("given",))
    assert fingerprint(open_graph(tmp_path / "graph"), ("given",)) == found
    assert set(found) == {"images", "labels given"}
    words = {"given": list(reversed(graph.vocabulary["given"]))}
    other = fingerprint(dataclasses.replace(graph, vocabulary=words), ("given",))
    assert other["images"] == found["images"]
    assert other["labels given"] != found["labels given"]
