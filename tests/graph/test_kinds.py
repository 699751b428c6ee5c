"""Names of kinds of edges as bits."""

import pytest

from graphrise.errors import ConfigError
from graphrise.graph.kinds import kind_mask
from graphrise.graph.store import COCLICK, KNN


def test_masks_are_the_bits_of_the_names(make):
    graph = make.made_graph(2, [])
    assert kind_mask(graph, None) is None
    assert kind_mask(graph, ("knn",)) == KNN
    assert kind_mask(graph, ("knn", "coclick", "knn")) == KNN | COCLICK
    with pytest.raises(ConfigError, match=r"edges\.kinds: likes is no kind.*coclick, given, knn"):
        kind_mask(graph, ("likes", "knn"))
    with pytest.raises(ConfigError, match=r"labels\.spread_kinds: none is no kind"):
        kind_mask(graph, (), "labels.spread_kinds")
