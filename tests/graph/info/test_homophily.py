"""Label homophily by kind, against plain Python."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.graph.draws import row_blocks
from graphrise.graph.engine.base import Stages
from graphrise.graph.info import homophily as module
from graphrise.graph.info.homophily import label_homophily
from graphrise.graph.store import COCLICK, KNN

KINDS = {"coclick": COCLICK, "knn": KNN, "bought": 16}


@pytest.fixture(scope="module", params=[2, None])
def _blocks(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            patch.setattr(module, "row_blocks", lambda rowptr: row_blocks(rowptr, request.param))
        yield


def with_kinds(graph, kind_of):
    """The graph with kinds by undirected edge (u, v), u < v."""
    row = np.repeat(np.arange(graph.num_nodes), np.diff(graph.rowptr))
    pairs = zip(np.minimum(row, graph.col), np.maximum(row, graph.col), strict=True)
    kind = np.array([kind_of[int(u), int(v)] for u, v in pairs], dtype=np.uint8)
    return dataclasses.replace(graph, kind=kind, kinds=KINDS)


def plain(edges, label):
    """The figures of `edges` {(u, v): weight}, from their definitions."""
    edges = {(u, v): w for (u, v), w in edges.items() if u in label and v in label}
    if not edges:
        return dict.fromkeys(("same", "same_by_weight", "expected", "adjusted")) | {"edges": 0}
    same = {e: w for e, w in edges.items() if label[e[0]] == label[e[1]]}
    ends = Counter(label[node] for edge in edges for node in edge)
    expected = sum((n / (2 * len(edges))) ** 2 for n in ends.values())
    share = len(same) / len(edges)
    return {
        "edges": len(edges),
        "same": pytest.approx(share),
        "same_by_weight": pytest.approx(sum(same.values()) / sum(edges.values())),
        "expected": pytest.approx(expected),
        "adjusted": pytest.approx((share - expected) / (1 - expected)) if len(ends) > 1 else None,
    }


@pytest.mark.usefixtures("_blocks")
@settings(max_examples=60, deadline=None)
@given(
    found=st.dictionaries(
        st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(lambda e: e[0] < e[1]),
        st.tuples(st.sampled_from([1, 4, 5, 16, 21]), st.integers(1, 5)),
        max_size=14,
    ),
    label=st.dictionaries(st.integers(0, 8), st.integers(0, 2), max_size=9),
)
def test_equal_to_the_definitions(make, found, label):
    rows = [(u, v, w) for (u, v), (_, w) in found.items()]
    # A lighter second label must not matter.
    labels = {n: {k: 0.75, (k + 1) % 3: 0.25} for n, k in label.items()}
    graph = with_kinds(make.made_graph(9, rows, labels), {e: k for e, (k, _) in found.items()})
    want = []
    for kind, bit in [(None, 255), *KINDS.items()]:
        edges = {e: w for e, (bits, w) in found.items() if bits & bit}
        want.append({"source": "given", "kind": kind, **plain(edges, label)})
    assert label_homophily(graph, "given", Stages()) == want


def test_by_hand(make):
    """A path a-a-b-b: two of three edges join equals; ends 3 and 3, so a half by chance."""
    edges = [(0, 1, 1.0), (1, 2, 2.0), (2, 3, 5.0)]
    graph = make.made_graph(5, edges, {0: {0: 1}, 1: {0: 1}, 2: {1: 1}, 3: {1: 1}})
    every, coclick, *others = label_homophily(graph, "given", Stages())
    assert every == coclick | {"kind": None}
    assert every["edges"] == 3
    assert every["same"] == pytest.approx(2 / 3)
    assert every["same_by_weight"] == pytest.approx(6 / 8)
    assert every["expected"] == 0.5
    assert every["adjusted"] == pytest.approx(1 / 3)
    assert [(row["kind"], row["edges"]) for row in others] == [
        ("similar", 0), ("knn", 0), ("given", 0)
    ]  # fmt: skip


def test_progress(make):
    said = []
    graph = make.made_graph(3, [(0, 1, 1.0)], {0: {0: 1}})
    label_homophily(graph, "given", Stages(lambda name, fraction: said.append((name, fraction))))
    assert said == [("label homophily (given)", None), ("label homophily (given)", 1.0)]
