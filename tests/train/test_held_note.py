"""A user is told of pictures that are held in memory, and how not to."""

import pytest

from graphrise.config import GraphConfig
from graphrise.graph.build import build_graph
from graphrise.images.pack import pack
from graphrise.train import data as data_module
from graphrise.train.data import TrainingData


@pytest.fixture
def graph(dataset):
    return build_graph(dataset, dataset / "graph", GraphConfig())


def test_held_images_are_noted_until_the_dataset_is_packed(make, dataset, graph, monkeypatch):
    held = 15 * 4 + sum(len(row["image"]) for row in make.coloured_rows())
    monkeypatch.setattr(data_module, "HELD_BYTES", held - 1)
    (note,) = TrainingData(dataset, graph, make.small_run()).notes
    assert note == (
        f"{held / 1e9:.1f} GB of encoded images are held in memory; `graphrise pack {dataset}` "
        "makes a form that is mapped from disk"
    )
    pack(dataset, workers=1)
    assert TrainingData(dataset, graph, make.small_run()).notes == []


def test_little_is_not_worth_a_note(make, dataset, graph, monkeypatch):
    assert data_module.HELD_BYTES == 2 * 2**30
    monkeypatch.setattr(data_module, "HELD_BYTES", 10**6)
    assert TrainingData(dataset, graph, make.small_run()).notes == []


def test_files_are_not_held(make, dataset, graph, monkeypatch):
    monkeypatch.setattr(data_module, "HELD_BYTES", 0)
    rows = []
    for row in make.coloured_rows():
        (dataset / f"{row['image_id']}.png").write_bytes(row.pop("image"))
        rows.append({**row, "path": f"{row['image_id']}.png"})
    make.save_tables(dataset, rows)
    assert TrainingData(dataset, graph, make.small_run()).notes == []
