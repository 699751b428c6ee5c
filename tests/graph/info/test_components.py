"""Connected components, against networkx and on long paths."""

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.graph.draws import row_blocks
from graphrise.graph.info import components as module
from graphrise.graph.info.components import component_info, connected_components


@pytest.fixture(scope="module", params=[2, None])
def _blocks(request):
    """Blocks of two edges, and one of all."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            patch.setattr(module, "row_blocks", lambda rowptr: row_blocks(rowptr, request.param))
        yield


@pytest.mark.usefixtures("_blocks")
@settings(max_examples=60, deadline=None)
@given(
    nodes=st.integers(1, 12),
    pairs=st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=14),
)
def test_equal_to_networkx(make, nodes, pairs):
    edges = {(u, v) for u, v in pairs if u < v < nodes}
    graph = make.made_graph(nodes, [(u, v, 1.0) for u, v in edges])
    other = nx.Graph(list(edges))
    other.add_nodes_from(range(nodes))
    parts = list(nx.connected_components(other))
    found = connected_components(graph.rowptr, graph.col)
    assert found.dtype == np.int32
    assert found.tolist() == [min(p) for n in range(nodes) for p in parts if n in p]
    sizes = sorted(map(len, parts))
    assert component_info(graph) == {
        "number": len(parts),
        "isolated": sizes.count(1),
        "largest": sizes[-1],
        "largest_share": sizes[-1] / nodes,
    }


def path(order):
    """CSR of the path through nodes in this order."""
    row = np.concatenate((order[:-1], order[1:]))
    col = np.concatenate((order[1:], order[:-1]))
    by_row = np.lexsort((col, row))
    rowptr = np.zeros(order.size + 1, dtype=np.int64)
    np.cumsum(np.bincount(row, minlength=order.size), out=rowptr[1:])
    return rowptr, col[by_row].astype(np.int32)


def orders(size):
    """Node orders of a path that are hard for one rule or another."""
    ends = np.empty(size, dtype=np.int64)
    ends[::2], ends[1::2] = np.arange(size // 2), np.arange(size // 2, size)[::-1]
    bits = int(math.log2(size))
    reverse = sum((np.arange(size) >> i & 1) << (bits - 1 - i) for i in range(bits))
    rng = np.random.default_rng(0)
    return {
        "rising": np.arange(size),
        "falling": np.arange(size)[::-1],
        "alternating": ends,
        "bit reversal": reverse,
        "random": rng.permutation(size),
    }


@pytest.mark.parametrize("name", orders(4))
def test_a_long_path_takes_few_rounds(monkeypatch, name):
    size, rounds = 1 << 17, []
    flatten = module._flatten
    monkeypatch.setattr(module, "_flatten", lambda tree: rounds.append(1) or flatten(tree))
    found = connected_components(*path(orders(size)[name]))
    assert not found.any()
    assert len(rounds) <= 2 * math.log2(size)


def test_nothing():
    rowptr, col = np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32)
    assert connected_components(rowptr, col).size == 0
    assert connected_components(np.zeros(4, dtype=np.int64), col).tolist() == [0, 1, 2]
