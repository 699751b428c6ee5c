"""A run goes on, and its head is read, with the graph that it was trained on and no other."""

import dataclasses

import pytest
import torch

from graphrise.config import GraphConfig
from graphrise.errors import DataError
from graphrise.graph.build import build_graph
from graphrise.train.run import train
from graphrise.train.saved_head import load_head
from graphrise.train.trained_on import FILE, check_trained_on, note_graph


@pytest.fixture
def graph(make):
    pairs = [(0, 1, 1.0), (1, 2, 1.0)]
    return make.made_graph(4, pairs, labels={n: {n % 3: 1.0} for n in range(4)})


def moved(graph):
    """Labels of the same vocabulary on other images."""
    labels = graph.labels["given"]
    return {"labels": {"given": dataclasses.replace(labels, index=labels.index[::-1].copy())}}


CHANGES = {
    "images": lambda g: {"image_ids": list(reversed(list(g.image_ids)))},
    "edges": lambda g: {"weight": g.weight * 2},
    r"names of labels \(given\)": lambda g: {
        "vocabulary": {"given": list(reversed(g.vocabulary["given"]))}
    },
    r"labels of images \(given\)": moved,
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_differs_is_named(graph, tmp_path, what):
    note_graph(tmp_path, graph, "given")
    check_trained_on(tmp_path, graph, "given")
    other = dataclasses.replace(graph, **CHANGES[what](graph))
    message = f"trained on a graph of other {what}, or in another order"
    with pytest.raises(DataError, match=message):
        check_trained_on(tmp_path, other, "given")
    if what.startswith("names"):
        with pytest.raises(DataError, match=message):
            check_trained_on(tmp_path, other, "given", head_only=True)
    else:
        check_trained_on(tmp_path, other, "given", head_only=True)


def test_of_both_sources_the_shares_set_the_order(graph, tmp_path):
    words, labels = (
        dict.fromkeys(("given", "queries"), of["given"]) for of in (graph.vocabulary, graph.labels)
    )
    both = dataclasses.replace(graph, vocabulary=words, labels=labels)
    note_graph(tmp_path, both, "both")
    check_trained_on(tmp_path, both, "both", head_only=True)
    other = dataclasses.replace(both, labels=both.labels | moved(graph)["labels"])
    with pytest.raises(DataError, match=r"of other labels of images \(given\), or"):
        check_trained_on(tmp_path, other, "both", head_only=True)


def test_without_the_labels_without_a_note_and_with_a_damaged_one(graph, tmp_path):
    check_trained_on(tmp_path, graph, "given")
    note_graph(tmp_path, graph, "given")
    with pytest.raises(DataError, match="no labels of source 'queries'"):
        check_trained_on(tmp_path, graph, "queries")
    (tmp_path / FILE).write_text("[1, 2")
    with pytest.raises(DataError, match=r"trained_on.json: damaged"):
        check_trained_on(tmp_path, graph, "given")


@pytest.mark.parametrize("head", [{"kind": "full"}, {"kind": "sampled", "num_negatives": 2}])
def test_the_graph_is_built_anew_after_a_run(make, dataset, tmp_path, head):
    graph = build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)
    config = make.small_run(head=head, checkpoint={"steps": 1})
    run = tmp_path / "run"
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
    with pytest.raises(DataError, match="run: was trained on a graph of other names of labels"):
        load_head(run, config, other)
    with pytest.raises(DataError, match="run: was trained on a graph of other names of labels"):
        train(dataset, other, run, config, display=make.silent, resume=True)
    assert all(map(torch.equal, load_head(run, config, graph).top_labels(image, 3), want))
