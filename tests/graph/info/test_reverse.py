"""Reverse edges: found by search, and missed or unequal ones named."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.graph.engine.base import Stages
from graphrise.graph.info import reverse as module
from graphrise.graph.info.findings import Findings
from graphrise.graph.info.reverse import check_reverse, find_edges
from graphrise.graph.store import Graph

NODES = 7
EDGE = st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1))


@pytest.fixture(scope="module", params=[2, None])
def _blocks(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            patch.setattr(module, "BLOCK_EDGES", request.param)
        yield


def directed(edges):
    """Graph of {(u, v): (weight, kind)}, as it is: nothing makes it symmetric."""
    rows = sorted(edges)
    rowptr = np.zeros(NODES + 1, dtype=np.int64)
    np.cumsum(np.bincount([u for u, _ in rows], minlength=NODES), out=rowptr[1:])
    return Graph(
        [f"image-{i}" for i in range(NODES)],
        rowptr,
        np.array([v for _, v in rows], dtype=np.int32),
        np.array([edges[e][0] for e in rows], dtype=np.float32),
        np.array([edges[e][1] for e in rows], dtype=np.uint8),
        {},
        {},
    )


def problems(graph):
    findings = Findings(graph)
    check_reverse(graph, findings, Stages())
    return findings.sentences()


@settings(max_examples=60, deadline=None)
@given(edges=st.sets(EDGE), wanted=st.lists(EDGE, min_size=1))
def test_search(edges, wanted):
    graph = directed(dict.fromkeys(edges, (1, 1)))
    place = {edge: i for i, edge in enumerate(sorted(edges))}
    row, target = np.array(wanted, dtype=np.int64).T
    found = find_edges(graph.rowptr, graph.col, row, target)
    assert found.tolist() == [place.get(edge, -1) for edge in wanted]


@pytest.mark.usefixtures("_blocks")
@settings(max_examples=100, deadline=None)
@given(
    pairs=st.dictionaries(
        EDGE.filter(lambda e: e[0] < e[1]),
        st.tuples(st.integers(1, 3), st.sampled_from([1, 5])),
        max_size=9,
    ),
    wrong=st.dictionaries(
        EDGE.filter(lambda e: e[0] != e[1]),
        st.tuples(st.integers(1, 3), st.sampled_from([1, 5])),
        max_size=3,
    ),
)
def test_equal_to_plain_python(pairs, wrong):
    """Symmetric edges, then a few directions more or overwritten."""
    edges = pairs | {(v, u): value for (u, v), value in pairs.items()} | wrong
    lone = [e for e in sorted(edges) if e[::-1] not in edges]
    both = [e for e in sorted(edges) if e[::-1] in edges]
    want = {
        "Edges without their reverse": lone,
        "Edges whose reverse has another weight": [
            e for e in both if edges[e][0] != edges[e[::-1]][0]
        ],
        "Edges whose reverse has another kind": [
            e for e in both if edges[e][1] != edges[e[::-1]][1]
        ],
    }
    sentences = {
        f"{what}: {len(some)}, the first {u} -> {v} (image 'image-{u}' -> 'image-{v}')."
        for what, some in want.items()
        for u, v in some[:1]
    }
    found = problems(directed(edges))
    assert set(found) == sentences
    assert len(found) == len(sentences)


def test_a_sound_graph_is_looked_up_half(make, monkeypatch):
    graph = make.made_graph(4, [(0, 1, 0.5), (1, 3, 0.25), (0, 3, 1.0)])
    looked_up = []

    def counted(rowptr, col, row, target):
        looked_up.extend(zip(target.tolist(), row.tolist(), strict=True))
        return find_edges(rowptr, col, row, target)

    monkeypatch.setattr(module, "find_edges", counted)
    assert problems(graph) == []
    assert looked_up == [(0, 1), (0, 3), (1, 3)]


def test_as_many_up_as_down_but_not_each_others(make):
    """1 -> 0 and 2 -> 3 lack their reverse: the numbers of both directions are equal."""
    found = problems(directed({(1, 0): (1, 1), (2, 3): (1, 1)}))
    assert found == [
        "Edges without their reverse: 2, the first 1 -> 0 (image 'image-1' -> 'image-0')."
    ]


def test_node_ids_beyond_the_first_block_and_weights_one_bit_apart(make):
    graph = make.made_graph(4, [(0, 1, 0.5), (2, 3, 0.25)])
    weight = graph.weight.copy()
    weight[3] = np.nextafter(weight[3], np.float32(1))
    found = problems(dataclasses.replace(graph, weight=weight))
    assert len(found) == 1
    assert found[0].startswith("Edges whose reverse has another weight: 2, the first 2 -> 3 ")
