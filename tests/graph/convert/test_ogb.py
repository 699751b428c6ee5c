"""OGB's raw folders and its dict, both ways; nothing here is downloaded."""

import gzip
import pickle
import sys
import types
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import DataError
from graphrise.graph.convert.from_edges import graph_from_edges
from graphrise.graph.convert.ogb import from_ogb, to_ogb_dict
from graphrise.graph.convert.pyg import to_data
from graphrise.graph.ragged import from_entries
from graphrise.graph.store import GIVEN, open_graph, save_graph

FILES = {
    "raw/edge.csv.gz": "0,1\n1,2\n3,0\n3,3\n2,1\n",
    "raw/num-node-list.csv.gz": "6\n",
    "raw/num-edge-list.csv.gz": "5\n",
    "raw/node-feat.csv.gz": "0.5,1.5\n" * 6,
    "raw/node-label.csv.gz": "0\n2\n2\n1\n2\n0\n",
    "split/sales_ranking/train.csv.gz": "0\n1\n",
    "split/sales_ranking/valid.csv.gz": "3\n",
    "split/sales_ranking/test.csv.gz": "2\n5\n4\n",
    "mapping/nodeidx2asin.csv.gz": "node idx,asin\n0,B000\n",
}
SPLIT = {"train": [0, 1], "valid": [3], "test": [2, 5, 4]}


def put(folder, **changed):
    """A folder laid out as ogbn-products is once unpacked; a None leaves a file out."""
    for name, text in {**FILES, **changed}.items():
        if text is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            data = text if isinstance(text, bytes) else gzip.compress(text.encode())
            (folder / name).write_bytes(data)
    (folder / "processed").mkdir(exist_ok=True)
    (folder / "RELEASE_v1.txt").write_text("# Release note for ogbn-products\n\n### v1: 2020\n")
    return folder


@pytest.fixture
def products(tmp_path):
    return put(tmp_path / "dataset/ogbn_products")


class Trap:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a file of the dataset was unpickled",)


def arrays(graph):
    parts = [graph.rowptr, graph.col, graph.weight, graph.kind, graph.labels["given"].top()]
    return [part.tolist() for part in parts]


def check(graph, self_loops=1):
    assert graph.num_nodes == 6
    assert graph.rowptr.tolist() == [0, 2, 4, 5, 6, 6, 6]
    assert graph.col.tolist() == [1, 3, 0, 2, 1, 0]
    assert graph.weight.tolist() == [1.0] * 6
    assert graph.kind.tolist() == [GIVEN] * 6
    assert graph.image_ids == range(6)
    assert graph.vocabulary == {"given": ["2", "0", "1"]}
    assert graph.labels_of("given").top().tolist() == [1, 0, 0, 2, 0, 1]
    assert graph.labels_of("given").weight.tolist() == [1.0] * 6
    assert graph.info["split"] == SPLIT
    assert graph.info["counts"] == {"self_loops": self_loops}


def test_a_downloaded_folder_by_name_and_by_path(products, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ogb", None)  # not even installed
    check(from_ogb("ogbn-products", tmp_path / "dataset"))
    check(from_ogb(products))
    check(from_ogb(str(products)))
    monkeypatch.chdir(tmp_path)
    check(from_ogb("ogbn-products"))


def test_nothing_is_unpickled(products, tmp_path):
    trap = pickle.dumps(Trap())
    with pytest.raises(pytest.fail.Exception, match="was unpickled"):
        pickle.loads(trap)
    names = (
        "processed/data_processed",
        "processed/geometric_data_processed.pt",
        "split/sales_ranking/split_dict.pt",
    )
    put(products, **dict.fromkeys(names, trap))
    check(from_ogb(products))


def test_a_saved_graph_keeps_the_split(products, tmp_path):
    save_graph(from_ogb(products), tmp_path / "g")
    check(open_graph(tmp_path / "g"))


def test_one_edge_feature_is_a_weight_and_several_are_not(products):
    put(products, **{"raw/edge-feat.csv.gz": "0.5\n0.25\n2\n9\n0.75\n"})
    assert from_ogb(products).weight.tolist() == [0.5, 2.0, 0.5, 0.75, 0.75, 2.0]
    put(products, **{"raw/edge-feat.csv.gz": "0.5,0\n" * 5})
    assert from_ogb(products).weight.tolist() == [1.0] * 6


def test_without_split_and_with_missing_labels(tmp_path):
    labels = {"raw/node-label.csv.gz": "0.0\nnan\n2.0\n1.0\nnan\n0.0\n"}
    splits = dict.fromkeys([name for name in FILES if name.startswith("split")])
    graph = from_ogb(put(tmp_path / "some", **labels, **splits))
    assert graph.labels_of("given").top().tolist() == [0, -1, 2, 1, -1, 0]
    assert "split" not in graph.info


class Made:
    """What `NodePropPredDataset` offers, in memory."""

    def __init__(self, pair, split=SPLIT):
        self.pair, self.split = pair, split

    def __getitem__(self, index):
        assert index == 0
        return self.pair

    def get_idx_split(self):
        return {part: np.array(nodes) for part, nodes in self.split.items()}


def test_a_dataset_object(products):
    edges = np.array([[0, 1, 3, 3, 2], [1, 2, 0, 3, 1]])
    pair = {"edge_index": edges, "edge_feat": None, "node_feat": None, "num_nodes": 6}
    check(from_ogb(Made((pair, np.array([[0], [2], [2], [1], [2], [0]])))))
    hetero = {"edge_index_dict": {}, "num_nodes_dict": {}}
    for wrong in (Made((hetero, {})), Made(pair), Made(to_data(from_ogb(products))), 5):
        with pytest.raises(DataError, match="is no homogeneous NodePropPredDataset of ogb"):
            from_ogb(wrong)


@settings(max_examples=40, deadline=None)
@given(
    edges=st.dictionaries(
        st.tuples(st.integers(0, 4), st.integers(0, 4)),
        st.floats(2**-100, 2**100, width=32),
        max_size=9,
    ),
    labels=st.lists(st.integers(-1, 3), min_size=5, max_size=5),
)
def test_there_and_back(edges, labels):
    node = np.flatnonzero(np.array(labels) >= 0)
    graph = graph_from_edges(
        [u for u, _ in edges],
        [v for _, v in edges],
        list(edges.values()),
        num_nodes=5,
        labels={"given": from_entries(node, np.array(labels)[node], np.ones(node.size), 5)},
        vocabulary={"given": list("abcd")},
    )
    made, y = to_ogb_dict(graph)
    assert sorted(made) == ["edge_feat", "edge_index", "node_feat", "num_nodes"]
    assert made["edge_index"].shape == (2, graph.num_edges)
    assert made["edge_feat"].shape == (graph.num_edges, 1)
    assert y.shape == (5, 1)
    assert y.dtype == (np.float64 if -1 in labels else np.int64)
    back = from_ogb(Made((made, y)))
    assert arrays(back)[:4] == arrays(graph)[:4]
    words: Any = back.vocabulary["given"]
    assert [int(words[k]) if k >= 0 else -1 for k in back.labels["given"].top()] == labels


def test_the_dict_needs_labels_and_does_not_share_memory(products):
    graph = from_ogb(products)
    to_ogb_dict(graph)[0]["edge_feat"][:] = 7
    assert graph.weight.tolist() == [1.0] * 6
    with pytest.raises(DataError, match="no labels of source 'queries'"):
        to_ogb_dict(graph, "queries")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"raw/edge.csv.gz": None}, r"edge.csv.gz: missing; is .*ogbn_products an OGB folder\?"),
        ({"raw/node-label.csv.gz": None}, "node-label.csv.gz: missing"),
        ({"raw/edge.csv.gz": b"no gzip"}, "edge.csv.gz: damaged"),
        ({"raw/edge.csv.gz": gzip.compress(b"0,1\n" * 9)[:-9]}, "edge.csv.gz: damaged"),
        ({"raw/edge.csv.gz": "0,1\n1,x\n1,1\n2,2\n3,3\n"}, "edge.csv.gz: damaged"),
        ({"raw/edge.csv.gz": "0,1\n1,\n1,1\n2,2\n3,3\n"}, "edge.csv.gz: damaged"),
        ({"raw/edge.csv.gz": "0,1\n1,6\n1,1\n2,2\n3,3\n"}, r"edge 1 \(1 to 6\): nodes are num"),
        ({"raw/edge.csv.gz": "0\n1\n1\n2\n3\n"}, "edge.csv.gz: damaged .it must be 2 col"),
        (
            {"raw/num-edge-list.csv.gz": "9\n"},
            r"num-edge-list.csv.gz says \[9\], there are 5 edges",
        ),
        (
            {"raw/num-node-list.csv.gz": "2\n4\n"},
            r"num-node-list.csv.gz says \[2, 4\], there are 6",
        ),
        ({"raw/node-label.csv.gz": "0,1\n" * 6}, "y has 2 columns, which is several labels"),
        ({"raw/node-label.csv.gz": "a\n" * 6}, "node-label.csv.gz: damaged"),
        ({"raw/edge-feat.csv.gz": "0\n" * 5}, r"edge 0 \(0 to 1\): weight 0 is not finite"),
        ({"raw/triplet-type-list.csv.gz": "a,b,c\n"}, "is heterogeneous"),
        ({"raw/data.npz": b""}, "binary format"),
        ({"split/sales_ranking/test.csv.gz": None}, "test.csv.gz: missing"),
        ({"split/other/train.csv.gz": "0\n"}, r"holds several splits \(other, sales_ranking\)"),
    ],
)
def test_a_folder_that_is_wrong(tmp_path, changed, message):
    with pytest.raises(DataError, match=message):
        from_ogb(put(tmp_path / "ogbn_products", **changed))


def test_a_name_that_is_not_there_is_downloaded_by_ogb(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ogb", None)
    monkeypatch.setitem(sys.modules, "ogb.nodeproppred", None)
    with pytest.raises(DataError, match=r"holds no ogbn-products, .* pip install graphrise\[ogb\]"):
        from_ogb("ogbn-products", tmp_path)

    def download(name, root):
        put(tmp_path / name.replace("-", "_"))
        assert root == str(tmp_path)

    module = types.ModuleType("ogb.nodeproppred")
    module.NodePropPredDataset = download  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "ogb", types.ModuleType("ogb"))
    monkeypatch.setitem(sys.modules, "ogb.nodeproppred", module)
    check(from_ogb("ogbn-products", tmp_path))
    module.NodePropPredDataset = None  # pyright: ignore[reportAttributeAccessIssue]
    check(from_ogb("ogbn-products", tmp_path))


def test_as_the_ogb_package_reads_it(products, tmp_path):
    module = pytest.importorskip("ogb.nodeproppred")
    dataset = module.NodePropPredDataset("ogbn-products", root=str(tmp_path / "dataset"))
    theirs = from_ogb(dataset)
    check(theirs, self_loops=2)  # the package adds the way back of a loop too
    # Now there is a processed folder beside the raw one.
    assert (products / "processed/data_processed").is_file()
    ours = from_ogb(products)
    assert arrays(ours) == arrays(theirs)
    assert ours.info["split"] == theirs.info["split"]
