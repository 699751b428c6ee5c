"""The graph folder: there and back, whole or not at all, and what is refused."""

import json

import numpy as np
import pytest

from graphrise.errors import DataError
from graphrise.graph import store as store_module
from graphrise.graph.store import FORMAT, open_graph, save_graph


@pytest.fixture
def graph(make):
    made = make.made_graph(4, [(0, 1, 0.5), (1, 3, 0.25)], {0: {0: 1.0}, 3: {1: 0.5, 2: 0.5}})
    made.info.update(counts={"clicks": 7}, warnings=["so it is"])
    return made


@pytest.fixture
def saved(graph, tmp_path):
    save_graph(graph, tmp_path / "g")
    return tmp_path / "g"


def test_there_and_back(graph, saved):
    found = open_graph(saved, verify=True)
    for name in ("rowptr", "col", "weight", "kind"):
        array = getattr(found, name)
        np.testing.assert_array_equal(array, getattr(graph, name))
        assert array.dtype == getattr(graph, name).dtype
    for name in ("rowptr", "index", "weight"):
        np.testing.assert_array_equal(
            getattr(found.labels["given"], name), getattr(graph.labels["given"], name)
        )
    assert found.image_ids == graph.image_ids
    assert found.vocabulary == graph.vocabulary
    assert found.info["counts"] == {"clicks": 7}
    assert found.info["warnings"] == ["so it is"]
    assert (found.num_nodes, found.num_edges) == (4, 4)


def test_arrays_are_memory_maps(saved):
    found = open_graph(saved)
    for array in (found.rowptr, found.col, found.cumulative, found.labels["given"].index):
        assert isinstance(array.base, np.memmap)
        assert not array.flags.writeable


def test_an_empty_graph_and_whole_number_ids(make, tmp_path):
    bare = make.made_graph(2, [])
    bare = store_module.Graph(
        [5, 2**40], bare.rowptr, bare.col, bare.weight, bare.kind, bare.labels, {"given": []}
    )
    save_graph(bare, tmp_path / "g")
    found = open_graph(tmp_path / "g", verify=True)
    assert found.num_edges == 0
    assert found.image_ids == [5, 2**40]
    assert found.vocabulary == {"given": []}


def test_a_failure_leaves_the_old_graph_and_nothing_else(make, saved, monkeypatch):
    before = {p.name: p.read_bytes() for p in saved.iterdir()}

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(store_module, "write_names", broken)
    with pytest.raises(OSError, match="disk full"):
        save_graph(make.made_graph(9, []), saved, overwrite=True)
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before
    assert [p.name for p in saved.parent.iterdir()] == ["g"]


def test_overwrites_graphs_only_and_only_if_asked(graph, make, saved, tmp_path):
    with pytest.raises(DataError, match="exists already; give --overwrite"):
        save_graph(graph, saved)
    save_graph(make.made_graph(9, []), saved, overwrite=True)
    assert open_graph(saved).num_nodes == 9
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "holiday.jpg").touch()
    with pytest.raises(DataError, match="not overwritten"):
        save_graph(graph, photos, overwrite=True)
    assert (photos / "holiday.jpg").exists()


def test_an_open_graph_survives_being_replaced(graph, make, saved):
    old = open_graph(saved)
    save_graph(make.made_graph(9, []), saved, overwrite=True)
    np.testing.assert_array_equal(old.col, graph.col)


def test_refuses_other_folders_and_formats(saved, tmp_path):
    with pytest.raises(DataError, match=r"not a graph folder.*run graphrise build-graph"):
        open_graph(tmp_path / "nowhere")
    file = saved / "graph.json"
    meta = json.loads(file.read_text())
    file.write_text(json.dumps(meta | {"format": FORMAT + 1}))
    with pytest.raises(DataError, match=rf"format {FORMAT + 1} is newer .*\({FORMAT}\): upgrade"):
        open_graph(saved)
    for text in ("{", "[]", "{}", json.dumps(meta | {"format": "one"})):
        file.write_text(text)
        with pytest.raises(DataError, match=r"graph\.json: damaged.*build the graph again"):
            open_graph(saved)


def test_missing_and_changed_files(saved):
    array = np.load(saved / "weight.npy")
    array[0] = 0.75
    np.save(saved / "weight.npy", array)
    assert open_graph(saved).weight[0] == 0.75
    with pytest.raises(
        DataError, match=r"weight\.npy: damaged \(its checksum.*build the graph again"
    ):
        open_graph(saved, verify=True)
    (saved / "weight.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match=r"weight\.npy: damaged"):
        open_graph(saved)
    (saved / "weight.npy").unlink()
    with pytest.raises(DataError, match=r"weight\.npy: missing; build the graph again"):
        open_graph(saved)


def test_a_damaged_table(saved):
    for name in ("nodes.arrow", "vocabulary_given.arrow"):
        whole = (saved / name).read_bytes()
        (saved / name).write_bytes(b"ARROW1 and no more".ljust(len(whole)))
        with pytest.raises(DataError, match=name.replace(".", r"\.")):
            open_graph(saved)
        (saved / name).write_bytes(whole)


def test_nothing_is_unpickled(saved):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("a pickle was loaded",)

    trap = np.array([None], dtype=object)
    trap[0] = Trap()
    np.save(saved / "weight.npy", trap, allow_pickle=True)
    with pytest.raises(DataError, match=r"weight\.npy: damaged"):
        open_graph(saved)
