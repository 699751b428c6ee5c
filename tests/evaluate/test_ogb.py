"""Classes by a run's label head, and OGB's measure of them."""

import dataclasses
import sys
from types import ModuleType

import numpy as np
import pytest

from graphrise.config import GraphConfig, HeadConfig
from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.ogb import accuracy, classified, ogb_score
from graphrise.graph.build import build_graph
from graphrise.train.run import train

CLASSES = {"red": "7", "green": "0", "blue": "12"}


@pytest.fixture
def run_on(make, tmp_path):
    """Train on the coloured pictures, whose labels are class numbers; returns the run folder."""

    def trained(**stages):
        rows = [{**row, "label": CLASSES.get(row["label"])} for row in make.coloured_rows()]
        dataset = make.save_tables(tmp_path / "colours", rows, make.coloured_log())
        graph = build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)
        config = make.small_run(
            labels={"spread": True}, train={"passes": 300, "lr": 1e-2}, **stages
        )
        train(dataset, graph, tmp_path / "run", config, display=make.silent)
        return tmp_path / "run"

    return trained


@pytest.mark.parametrize("head", [{}, {"kind": "sampled", "num_negatives": 2}])
def test_classes_of_the_head(run_on, head):
    found = classified(run_on(head=dataclasses.replace(HeadConfig(), **head)), "split=query")
    assert found["y_true"].tolist() == [[7], [0], [12]]
    assert found["y_pred"].tolist() == [[7], [0], [12]]
    assert accuracy(found) == 1.0


def test_runs_that_cannot_be_asked(run_on, finished):
    with pytest.raises(DataError, match=r"classes of OGB are whole numbers.*base 10"):
        classified(finished[1], "split=query")
    with pytest.raises(DataError, match="no image with split=train has a label"):
        classified(finished[1], "split=train")
    run = run_on(head={"kind": "full"})
    (run / "checkpoint" / "last.ckpt").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"last.ckpt: the label head of the run cannot be read"):
        classified(run, "split=query")


def test_accuracy_is_the_share_of_equal_classes():
    found = {"y_true": np.array([[1], [2], [3], [1]]), "y_pred": np.array([[1], [2], [1], [3]])}
    assert accuracy(found) == 0.5


def test_the_evaluator_is_asked_by_name(monkeypatch):
    asked = {}

    class Evaluator:
        def __init__(self, name):
            if name != "ogbn-arxiv":
                raise ValueError(name)

        def eval(self, found):
            asked.update(found)
            return {"acc": 1.0}

    module = ModuleType("ogb.nodeproppred")
    monkeypatch.setattr(module, "Evaluator", Evaluator, raising=False)
    monkeypatch.setitem(sys.modules, "ogb", ModuleType("ogb"))
    monkeypatch.setitem(sys.modules, "ogb.nodeproppred", module)
    found = {"y_true": np.array([[1]]), "y_pred": np.array([[1]])}
    assert ogb_score("ogbn-arxiv", found) == {"acc": 1.0}
    assert asked == found
    with pytest.raises(ConfigError, match="no node classification set 'ogbn-none'"):
        ogb_score("ogbn-none", found)
