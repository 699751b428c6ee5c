"""Dataset folder and graph to a loader, and what does not fit together."""

import dataclasses

import numpy as np
import pytest
import torch

from graphrise.config import GraphConfig
from graphrise.errors import ConfigError, DataError
from graphrise.graph.build import build_graph
from graphrise.graph.ragged import from_entries
from graphrise.train.data import TrainingData
from graphrise.train.module import GraphRise


@pytest.fixture
def graph(dataset):
    return build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)


def test_epochs_and_notes(make, dataset, graph):
    data = TrainingData(dataset, graph, make.small_run())
    assert (data.num_labels, data.num_labelled, data.notes) == (3, 3, [])
    batches = list(data.train_dataloader())
    # alpha 0: no neighbour is drawn.
    assert sum(b.n_id.numel() for b in batches) == 3
    with_edges = TrainingData(dataset, graph, make.small_run(edges={"alpha": 1.0, "neighbors": 2}))
    batches = list(with_edges.train_dataloader())
    assert sum(b.edge_index.size(1) for b in batches) == 6


def test_works_ahead_only_where_a_core_is_left(make, dataset, graph, monkeypatch):
    config = make.small_run()
    module = GraphRise(config, 3, 3)
    threads = torch.get_num_threads()

    def chosen(cache_mib, processes):
        images = dataclasses.replace(config.images, cache_mib=cache_mib, prefetch=3)
        data = TrainingData(dataset, graph, dataclasses.replace(config, images=images))
        loader = data.loader_beside(module, processes)
        return loader.prefetch, loader.row, loader.augment is not None

    monkeypatch.setattr("os.cpu_count", lambda: 2 * threads)
    assert chosen(512, 1) == (3, 1, True)
    # Both processes' encoders have all cores: nothing is made beside them, unless it must be read.
    assert chosen(512, 2) == (0, 4, False)
    assert chosen(0, 2) == (3, 1, False)
    with pytest.raises(ConfigError, match="row must be at least 1"):
        TrainingData(dataset, graph, config).loader(row=-1)


def test_many_pictures_in_memory_say_so(make, dataset, graph, monkeypatch):
    held = sum(len(row["image"]) for row in make.coloured_rows())
    monkeypatch.setattr("graphrise.train.data.HELD_BYTES", held)
    # The offsets of the column come on top of its bytes.
    (note,) = TrainingData(dataset, graph, make.small_run()).notes
    assert "0.0 GB of encoded images are held in memory" in note
    assert f"graphrise pack {dataset}" in note
    monkeypatch.setattr("graphrise.train.data.HELD_BYTES", 2 * held)
    assert TrainingData(dataset, graph, make.small_run()).notes == []


def test_spread_labels_reach_the_unlabelled(make, dataset, graph):
    config = make.small_run(labels={"spread": True})
    data = TrainingData(dataset, graph, config)
    assert data.num_labelled == 12
    assert data.notes == ["labels spread over the graph: 3 -> 12 labelled images"]
    assert sum(b.batch_size for b in data.train_dataloader()) == 12


def test_queries_as_labels(make, dataset, graph):
    data = TrainingData(dataset, graph, make.small_run(labels={"source": "queries"}))
    assert (data.num_labels, data.num_labelled) == (3, 12)


def test_both_sources_of_labels_in_one_vocabulary(make, dataset, graph):
    data = TrainingData(dataset, graph, make.small_run(labels={"source": "both"}))
    assert (data.num_labels, data.num_labelled) == (6, 12)
    seen = [int(i) for b in data.train_dataloader() for i in b.label_index]
    assert {*seen} == set(range(6))


def test_a_shuffled_graph_says_so(make, dataset, graph):
    data = TrainingData(dataset, graph, make.small_run(shuffle_graph=3))
    assert any("control run" in note for note in data.notes)
    assert not np.array_equal(data.graph.col, graph.col)


def test_a_graph_without_edges_says_so(make, dataset, graph):
    bare = make.made_graph(12, [])
    bare = bare.__class__(
        graph.image_ids, bare.rowptr, bare.col, bare.weight, bare.kind, graph.labels,
        graph.vocabulary,
    )  # fmt: skip
    data = TrainingData(dataset, bare, make.small_run(edges={"alpha": 1.0}))
    assert data.notes == ["the graph has no edges: training is cross-entropy only"]
    assert all(b.edge_index.size(1) == 0 for b in data.train_dataloader())


def test_no_label_at_all(make, dataset, graph):
    graph.labels["given"] = from_entries(
        np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), graph.num_nodes
    )
    with pytest.raises(DataError, match="no image of the graph has a label of source 'given'"):
        TrainingData(dataset, graph, make.small_run())
    del graph.labels["given"]
    with pytest.raises(DataError, match="no labels of source 'given', only queries"):
        TrainingData(dataset, graph, make.small_run())


def test_a_graph_of_another_dataset(make, graph, tmp_path):
    rows = [r for r in make.coloured_rows() if r["image_id"] != "red-0"]
    other = make.save_tables(tmp_path / "other", rows)
    message = r"images\.parquet: 1 images of the graph are not in it.*'red-0'; was the graph built"
    with pytest.raises(DataError, match=message):
        TrainingData(other, graph, make.small_run())


def test_rows_follow_ids_not_positions(make, dataset, graph):
    here = TrainingData(dataset, graph, make.small_run())
    turned = make.save_tables(dataset.parent / "turned", make.coloured_rows()[::-1])
    there = TrainingData(turned, graph, make.small_run())
    every = np.arange(graph.num_nodes)
    torch.testing.assert_close(
        here.reader.read(torch.from_numpy(every)), there.reader.read(torch.from_numpy(every))
    )


def drawn_edges(data):
    """Every edge that a thousand draws of each image bring, by node."""
    seeds = np.arange(data.graph.num_nodes)
    sampler = data.train_dataloader().node_sampler
    row, edge = sampler.draw_edges(seeds)
    return {(int(u), int(data.graph.col[e])) for u, e in zip(seeds[row], edge, strict=True)}


def test_the_control_of_the_edge_term_keeps_the_labels(make, dataset, graph):
    spread, edges = {"spread": True}, {"alpha": 1.0, "neighbors": 1000}
    plain = TrainingData(dataset, graph, make.small_run(labels=spread, edges=edges))
    control = TrainingData(
        dataset, graph, make.small_run(labels=spread, edges=edges, shuffle_edges=5)
    )
    for name in ("rowptr", "index", "weight"):
        assert np.array_equal(getattr(plain.labels, name), getattr(control.labels, name))
    assert drawn_edges(control) != drawn_edges(plain)
    assert len(drawn_edges(control)) == len(drawn_edges(plain)) == graph.num_edges
    assert any("images at random" in note for note in control.notes)
    whole = TrainingData(dataset, graph, make.small_run(labels=spread, shuffle_graph=5))
    assert not np.array_equal(whole.labels.index, plain.labels.index)
