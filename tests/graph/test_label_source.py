"""Given labels and queries in one vocabulary, against dense rows."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.config import LabelConfig
from graphrise.errors import ConfigError, DataError
from graphrise.graph.label_source import both_labels, source_labels
from graphrise.graph.ragged import from_entries

N, SIZES = 5, (3, 4)


def ragged(entries):
    node, label, weight = np.array([(*at, w) for at, w in entries.items()]).reshape(-1, 3).T
    return from_entries(node.astype(np.int64), label.astype(np.int64), weight, N)


def labellings(size):
    places = st.tuples(st.integers(0, N - 1), st.integers(0, size - 1))
    return st.dictionaries(places, st.floats(0.1, 1), max_size=12).map(ragged)


def dense(labels, size):
    out = np.zeros((N, size))
    row, index, weight = labels.rows(np.arange(N))
    out[row, index] = weight
    return out


@settings(max_examples=60, deadline=None)
@given(labellings(SIZES[0]), labellings(SIZES[1]), st.sampled_from([0.25, 0.5, 0.9]))
def test_both_are_shares_of_one_distribution(labels, queries, share):
    found, was = both_labels(labels, queries, SIZES, given_share=share)
    parts = dense(labels, SIZES[0]), dense(queries, SIZES[1])
    want = np.zeros((N, sum(SIZES)))
    for node in range(N):
        mine, theirs = (part[node].any() for part in parts)
        factors = (share, 1 - share) if mine and theirs else (1, 1)
        want[node] = np.concatenate(
            [f * part[node] for f, part in zip(factors, parts, strict=True)]
        )
    assert sorted(was) == list(range(sum(SIZES)))
    np.testing.assert_allclose(dense(found, sum(SIZES)), want[:, was], atol=1e-6)
    mass = dense(found, sum(SIZES)).sum(axis=0)
    assert (np.diff(mass) <= 1e-6).all()
    # As all labels are kept: rising within a node.
    for node in range(N):
        assert (np.diff(found.index[found.rowptr[node] : found.rowptr[node + 1]]) > 0).all()


def test_equally_heavy_labels_keep_the_order_of_the_vocabularies():
    labels, queries = ragged({(0, 1): 1, (1, 2): 1}), ragged({(2, 0): 1, (3, 3): 1})
    _, was = both_labels(labels, queries, SIZES)
    assert was.tolist() == [1, 2, 3, 6, 0, 4, 5]


@pytest.fixture
def graph(make):
    found = make.made_graph(N, [(0, 1, 1.0)], {0: {2: 1.0}, 1: {0: 1.0}})
    queries = ragged({(1, 0): 1, (1, 3): 1, (2, 3): 1})
    return dataclasses.replace(
        found,
        labels={**found.labels, "queries": queries},
        vocabulary={**found.vocabulary, "queries": list("wxyz")},
    )


def test_the_source_of_the_settings(graph):
    for config, size in ((LabelConfig(), 3), (LabelConfig(source="queries"), 4)):
        labels, num_labels = source_labels(graph, config)
        assert labels is graph.labels[config.source]
        assert num_labels == size
    labels, num_labels = source_labels(graph, LabelConfig(source="both", given_share=0.8))
    assert num_labels == 7
    assert labels.counts.tolist() == [1, 3, 1, 0, 0]
    assert sorted(labels.rows(np.array([1]))[2].tolist()) == pytest.approx([0.1, 0.1, 0.8])


def test_both_needs_both(graph):
    without = dataclasses.replace(graph, labels={"given": graph.labels["given"]})
    with pytest.raises(DataError, match="no labels of source 'queries', only given"):
        source_labels(without, LabelConfig(source="both"))
    empty = dataclasses.replace(graph, labels={**graph.labels, "given": ragged({})})
    with pytest.raises(DataError, match="no image of the graph has a label of source 'given'"):
        source_labels(empty, LabelConfig(source="both"))


@pytest.mark.parametrize("share", [0, 1, -0.5, float("nan")])
def test_shares_out_of_range(share):
    with pytest.raises(ConfigError, match=r"labels.given_share must lie in \(0, 1\)"):
        LabelConfig(source="both", given_share=share)
