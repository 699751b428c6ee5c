"""A run goes on, and its head is read, with the graph that it was trained on and no other."""

import dataclasses
import json

import pytest
import torch

from graphrise.config import GraphConfig
from graphrise.errors import DataError
from graphrise.graph.build import build_graph
from graphrise.train.run import train
from graphrise.train.saved_head import load_head
from graphrise.train.trained_on import FILE, check_graph, note_graph


@pytest.fixture
def graph(make):
    return make.made_graph(
        4, [(0, 1, 1.0), (1, 2, 1.0)], labels={n: {n % 3: 1.0} for n in range(4)}
    )


def changed(graph, what):
    """The graph with labels or images in another order, or with an edge less."""
    if what == "labels given":
        words = list(reversed(graph.vocabulary["given"]))
        return dataclasses.replace(graph, vocabulary={"given": words})
    if what == "images":
        return dataclasses.replace(graph, image_ids=list(reversed(list(graph.image_ids))))
    rowptr = graph.rowptr.copy()
    rowptr[-1] -= 1
    fewer = (getattr(graph, name)[:-1] for name in ("col", "weight", "kind", "cumulative"))
    names = ("col", "weight", "kind", "cumulative")
    return dataclasses.replace(graph, rowptr=rowptr, **dict(zip(names, fewer, strict=True)))


@pytest.mark.parametrize("what", ["labels given", "images", "edges"])
def test_what_differs_is_named(graph, tmp_path, what):
    note_graph(tmp_path, graph, "given")
    check_graph(tmp_path, graph, "given")
    other = changed(graph, what)
    with pytest.raises(DataError, match=f"trained on a graph of other {what}, or in another order"):
        check_graph(tmp_path, other, "given")
    if what == "labels given":
        with pytest.raises(DataError, match="other labels given, or"):
            check_graph(tmp_path, other, "given", labels_only=True)
    else:
        check_graph(tmp_path, other, "given", labels_only=True)


def test_a_run_of_before_has_no_note_and_a_damaged_one_says_so(graph, tmp_path):
    check_graph(tmp_path, graph, "given")
    (tmp_path / FILE).write_text("[1, 2")
    with pytest.raises(DataError, match=r"trained_on.json: damaged"):
        check_graph(tmp_path, graph, "given")


def test_both_sources_are_noted(graph, tmp_path):
    both = {"given": ["a"], "queries": ["b", "c"]}
    note_graph(tmp_path, dataclasses.replace(graph, vocabulary=both), "both")
    assert set(json.loads((tmp_path / FILE).read_text())) == {
        "images",
        "labels given",
        "labels queries",
        "edges",
    }


@pytest.mark.parametrize("head", [{"kind": "full"}, {"kind": "sampled", "num_negatives": 2}])
def test_the_graph_is_built_anew_after_a_run(make, dataset, tmp_path, head):
    graph = build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)
    config, run = make.small_run(head=head), tmp_path / "run"
    train(dataset, graph, run, config, display=make.silent)
    image = torch.zeros(1, config.encoder.dim)
    want = load_head(run, config, graph).top_labels(image, 3)
    (run / "run.json").unlink()  # as if it had not been finished
    rows = [
        row | {"label": {"red": "zinnober"}.get(row["label"], row["label"])}
        for row in make.coloured_rows()
    ]
    make.save_tables(dataset, rows, make.coloured_log())
    other = build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)
    assert len(other.vocabulary["given"]) == len(graph.vocabulary["given"])
    with pytest.raises(DataError, match="run: was trained on a graph of other labels given"):
        load_head(run, config, other)
    with pytest.raises(DataError, match="run: was trained on a graph of other labels given"):
        train(dataset, other, run, config, display=make.silent, resume=True)
    assert all(map(torch.equal, load_head(run, config, graph).top_labels(image, 3), want))
