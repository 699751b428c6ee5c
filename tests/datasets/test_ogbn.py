"""OGB's node classification sets: a graph, features and splits, no pictures."""

import gzip
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from graphrise.cli.main import main
from graphrise.errors import DataError, GraphriseError
from graphrise.evaluate.ogb import accuracy, classified
from graphrise.graph.store import open_graph
from graphrise.images import open_images

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


SMALL = {
    "encoder.name": "mlp",
    "encoder.kwargs": '{"hidden": 32, "layers": 1, "dropout": 0.2}',
    "encoder.dim": 16,
    "train.epochs": "null",
    "train.passes": 4000,
    "train.batch_size": 15,
    "train.threads": 1,
    "train.accelerator": "cpu",
    "train.precision": "32-true",
}


def packed(**changed):
    return {name: gzip.compress(text.encode()) for name, text in {**FILES, **changed}.items()}


def lines(rows):
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def planted(nodes=240, classes=3, train=15):
    """Classes that a few labelled nodes' features hardly tell, and most edges do."""
    random = np.random.default_rng(0)
    label = np.arange(nodes) % classes
    features = random.normal(size=(nodes, 12)) + 0.8 * np.eye(classes, 12)[label]
    ends = random.integers(nodes, size=(nodes * 12, 2))
    kept = (label[ends[:, 0]] == label[ends[:, 1]]) | (random.random(len(ends)) < 0.1)
    edges = ends[kept & (ends[:, 0] != ends[:, 1])]
    ids = np.arange(nodes)[:, None]
    parts = {"train": ids[:train], "valid": ids[train : nodes // 2], "test": ids[nodes // 2 :]}
    return packed(
        **{
            "raw/edge.csv.gz": lines(edges),
            "raw/num-node-list.csv.gz": lines([[nodes]]),
            "raw/num-edge-list.csv.gz": lines([[len(edges)]]),
            "raw/node-feat.csv.gz": lines(features.round(4)),
            "raw/node-label.csv.gz": lines(label[:, None]),
        },
        **{f"split/time/{name}.csv.gz": lines(part) for name, part in parts.items()},
    )


def trained(dataset, run, **settings):
    """Train by the command line; returns the run folder."""
    options = [f"--{name}={value}" for name, value in (SMALL | settings).items()]
    assert main(["train", str(dataset), str(run), *options]) == 0
    return run


def test_a_folder_of_ogb(script, put, tmp_path, capsys):
    out = tmp_path / "out"
    script("ogbn").main(put(packed()), out)
    assert "4 nodes, 3 edges, 2 features" in capsys.readouterr().out
    assert pq.read_table(out / "images.parquet").to_pylist() == [
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
    images, store = open_images(out)
    assert (len(images), store.width) == (4, 2)


def test_the_graph_knows_no_class_of_val_and_test(script, put, tmp_path):
    script("ogbn").main(put(packed()), tmp_path / "out")
    other = {"raw/node-label.csv.gz": "0\n5\n4\n1\n"}  # of nodes 1 and 2: val and test
    script("ogbn").main(put(packed(**other)), tmp_path / "other")
    for out in (tmp_path / "out", tmp_path / "other"):
        graph = open_graph(out / "graph")
        assert sorted(graph.vocabulary["given"]) == ["0", "1"]
        top = graph.labels_of("given").top()
        assert [graph.vocabulary["given"][top[node]] for node in (0, 3)] == ["0", "1"]
        assert top[[1, 2]].tolist() == [-1, -1]


@pytest.mark.parametrize("rows", ["1,2\n", "1,2\n" * 5, "1,2\na,b\n3,4\n5,6\n"])
def test_features_that_do_not_fit(script, put, tmp_path, rows):
    source = put(packed(**{"raw/node-feat.csv.gz": rows}))
    with pytest.raises(DataError, match=r"node-feat.csv.gz"):
        script("ogbn").main(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_folder(script, tmp_path):
    with pytest.raises(DataError, match="raw, split not found"):
        script("ogbn").main(tmp_path, tmp_path / "out")


def test_from_raw_files_to_accuracy(script, put, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    script("ogbn").main(put(planted()), out)
    spread = trained(out, tmp_path / "spread", **{"labels.spread_steps": 2})
    plain = trained(out, tmp_path / "plain", **{"labels.spread": "false"})
    found = classified(spread, "split=test")
    assert found["y_true"].tolist() == [[node % 3] for node in range(120, 240)]
    assert accuracy(found) > accuracy(classified(plain, "split=test")) + 0.1
    assert accuracy(found) > 0.5  # chance: a third
    capsys.readouterr()
    script("ogbn_score").main(spread)
    assert f"split=test: accuracy {accuracy(found):.4f} of 120 nodes" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "ogb", None)
    with pytest.raises(GraphriseError, match=r"pip install graphrise\[ogb\]"):
        script("ogbn_score").main(spread, evaluator="ogbn-arxiv")


def test_commands_on_nodes(script, put, tmp_path, capsys):
    out, run = tmp_path / "out", tmp_path / "run"
    script("ogbn").main(put(planted()), out)
    trained(out, run, **{"train.passes": 60})
    assert main(["evaluate", str(run), "--gallery", "split=train", "--queries", "split=val"]) == 0
    assert (run / "report.html").is_file()
    assert not (run / "plots" / "retrieval.png").exists()
    assert main(["embed", str(run), str(out), str(tmp_path / "v.parquet")]) == 0
    assert pq.read_table(tmp_path / "v.parquet").num_rows == 240
    capsys.readouterr()
    for command, message in (
        (["pack", str(out)], "no pictures to pack"),
        (["export", str(run), str(tmp_path / "e")], "only an encoder of pictures"),
        (
            ["train", str(out), str(tmp_path / "cnn"), "--encoder.name=test_resnet"],
            "takes pictures",
        ),
    ):
        assert main(command) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "e").exists()
    assert not (tmp_path / "cnn").exists()
