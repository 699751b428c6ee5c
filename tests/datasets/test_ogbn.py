"""OGB's node classification sets: a graph, features and splits, no pictures."""

import gzip

import numpy as np
import pyarrow.parquet as pq
import pytest

from graphrise.errors import DataError
from graphrise.graph.store import open_graph

FILES = {
    "raw/edge.csv.gz": "0,1\n1,2\n3,0\n",
    "raw/num-node-list.csv.gz": "4\n",
    "raw/num-edge-list.csv.gz": "3\n",
    "raw/node-feat.csv.gz": "0.5,1\n2,-3\n4,5\n6,7\n",
    "raw/node-label.csv.gz": "0\n2\n2\n1\n",
    "split/time/train.csv.gz": "0\n3\n",
    "split/time/valid.csv.gz": "1\n",
    "split/time/test.csv.gz": "2\n",
}


def packed(**changed):
    return {name: gzip.compress(text.encode()) for name, text in {**FILES, **changed}.items()}


def test_a_folder_of_ogb(script, put, tmp_path, capsys):
    out = tmp_path / "out"
    script("ogbn").main(put(packed()), out)
    assert "4 nodes, 3 edges, 2 features" in capsys.readouterr().out
    assert pq.read_table(out / "nodes.parquet").to_pylist() == [
        {"image_id": 0, "split": "train", "label": "0"},
        {"image_id": 1, "split": "val", "label": "2"},
        {"image_id": 2, "split": "test", "label": "2"},
        {"image_id": 3, "split": "train", "label": "1"},
    ]
    features = np.load(out / "features.npy")
    assert features.dtype == np.float32
    assert features.tolist() == [[0.5, 1], [2, -3], [4, 5], [6, 7]]
    graph = open_graph(out / "graph")
    assert graph.num_nodes == 4
    assert graph.num_edges == 6


@pytest.mark.parametrize("rows", ["1,2\n", "1,2\n" * 5, "1,2\na,b\n3,4\n5,6\n"])
def test_features_that_do_not_fit(script, put, tmp_path, rows):
    source = put(packed(**{"raw/node-feat.csv.gz": rows}))
    with pytest.raises(DataError, match=r"node-feat.csv.gz"):
        script("ogbn").main(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_folder(script, tmp_path):
    with pytest.raises(DataError, match="raw, split not found"):
        script("ogbn").main(tmp_path, tmp_path / "out")
