"""Labelled shares, and heaviest labels block by block."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.graph.draws import row_blocks
from graphrise.graph.info import labels as module
from graphrise.graph.info.labels import heaviest_labels, label_info, unlabelled_info
from graphrise.graph.ragged import Ragged, from_entries

ROWS, LABELS = 7, 4


@pytest.fixture(scope="module", params=[2, None])
def _blocks(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            patch.setattr(module, "BLOCK_EDGES", request.param)
            patch.setattr(module, "row_blocks", lambda rowptr: row_blocks(rowptr, request.param))
        yield


@pytest.mark.usefixtures("_blocks")
@settings(max_examples=60, deadline=None)
@given(
    entries=st.dictionaries(
        st.tuples(st.integers(0, ROWS - 1), st.integers(0, LABELS - 1)),
        st.integers(1, 3),
        max_size=20,
    )
)
def test_equal_to_ragged_and_plain_counts(entries):
    rows, index = np.array(list(entries), dtype=np.int64).reshape(-1, 2).T
    labels = from_entries(rows, index, np.array(list(entries.values()), dtype=float), ROWS)
    top = heaviest_labels(labels, LABELS)
    assert top.dtype == np.int32
    assert top.tolist() == labels.top().tolist()
    per_node = [sum(r == row for r, _ in entries) for row in range(ROWS)]
    labelled = sum(n > 0 for n in per_node)
    used = len({k for _, k in entries})
    assert label_info(labels, LABELS) == {
        "labelled": labelled,
        "labelled_share": labelled / ROWS,
        "unlabelled_share": (ROWS - labelled) / ROWS,
        "per_labelled_mean": len(entries) / labelled if labelled else None,
        "per_labelled_max": max(per_node),
        "vocabulary": LABELS,
        "vocabulary_used": used,
        "vocabulary_used_share": used / LABELS,
    }


def test_without_nodes_or_vocabulary():
    found = label_info(Ragged(*(np.zeros(n, dtype=np.int64) for n in (1, 0, 0))), 0)
    assert found["labelled_share"] is found["vocabulary_used_share"] is None
    assert found["per_labelled_max"] == found["vocabulary_used"] == 0


def test_unlabelled_over_all_sources(make):
    """Node 0 has a given label, 1 a query, 2 only an edge, 3 nothing."""
    graph = make.made_graph(4, [(0, 2, 1.0)], {0: {0: 1}})
    graph.labels["queries"] = from_entries(np.array([1]), np.array([0]), np.ones(1), 4)
    assert unlabelled_info(graph) == {
        "nodes": 2, "share": 0.5, "isolated": 1, "isolated_share": 0.25
    }  # fmt: skip
    graph.labels.clear()
    assert unlabelled_info(graph)["nodes"] == 4
