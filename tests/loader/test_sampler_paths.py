"""Every way to a draw gives the same: blocks, files, memory, copies, workers, no edge list."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.sampler import NodeSamplerInput

from graphrise.graph import pages
from graphrise.graph.convert.pyg import to_data
from graphrise.graph.store import open_graph, save_graph
from graphrise.images.reader import ImageReader
from graphrise.loader import sampler as module
from graphrise.loader.batch import neighbor_loader, without_edges
from graphrise.loader.sampler import PairSampler
from graphrise.train.data import TrainingData


def random_graph(make, nodes=60, edges=400):
    """Rows of 0 to some 40 edges; a few nodes without any."""
    rng = np.random.default_rng(4)
    ends = np.minimum(rng.geometric(0.08, (edges, 2)) - 1, nodes - 4)
    pairs = {(int(min(e)), int(max(e))) for e in ends if e[0] != e[1]}
    labels = {n: {n % 3: 1.0} for n in range(0, nodes, 2)}
    return make.made_graph(nodes, [(u, v, rng.random() + 0.01) for u, v in sorted(pairs)], labels)


def some_seeds():
    """Every node of `random_graph`, some twice, in no order."""
    return np.random.default_rng(5).permutation(np.concatenate((np.arange(60), np.arange(20))))


@pytest.mark.parametrize("draw", ["weighted", "uniform"])
@pytest.mark.parametrize("k", [1, 3])
def test_blocks_of_any_size_give_the_same_draws(make, monkeypatch, draw, k):
    graph, seeds = random_graph(make), some_seeds()
    sampler = PairSampler(graph, k, draw, seed=6)
    row, edge = sampler.draw_edges(seeds)
    degree = np.diff(graph.rowptr)[seeds]
    assert (degree == 0).any()
    assert row.tolist() == np.repeat(np.flatnonzero(degree), k).tolist()
    source = np.searchsorted(graph.rowptr, edge, side="right") - 1
    assert source.tolist() == seeds[row].tolist()
    one_by_one = [sampler.draw_edges(seeds[i : i + 1])[1] for i in range(seeds.size)]
    assert np.concatenate(one_by_one).tolist() == edge.tolist()
    for bits, block in ((20, 1), (20, 7), (2, 2), (5, 10**6)):
        monkeypatch.setattr(module, "_PLACE_BITS", bits)
        monkeypatch.setattr(module, "_PIECE", 1 << bits)
        monkeypatch.setattr(module, "_BLOCK", block)
        for found, expected in zip(sampler.draw_edges(seeds), (row, edge), strict=True):
            assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("seed_type", [np.int32, np.int64])
@pytest.mark.parametrize("col_type", [np.int32, np.int64])
def test_types_of_seeds_and_ids_change_nothing(make, seed_type, col_type):
    # Node numbers whose products do not fit int32.
    graph = make.made_graph(5000, [(u, v, 1.0) for u in range(4990) for v in (u + 1, u + 5)])
    seeds = np.random.default_rng(0).permutation(5000)
    row, edge = PairSampler(graph, 2, seed=1).draw_edges(seeds)
    assert row.size > 9900
    object.__setattr__(graph, "col", graph.col.astype(col_type))
    kept = seeds.copy().astype(seed_type)
    found = PairSampler(graph, 2, seed=1).draw_edges(kept)
    for array, expected in zip(found, (row, edge), strict=True):
        assert array.dtype == np.int64
        np.testing.assert_array_equal(array, expected)
    np.testing.assert_array_equal(kept, seeds)


@pytest.fixture
def both(make, tmp_path, monkeypatch):
    """A graph in memory, and opened from its folder with every array large enough for `pread`."""
    monkeypatch.setattr(pages, "SMALL", 0)
    graph = random_graph(make)
    save_graph(graph, tmp_path / "g")
    return graph, open_graph(tmp_path / "g")


@pytest.mark.parametrize("few", [0, 1 << 14])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("draw", ["weighted", "uniform"])
@pytest.mark.parametrize("k", [0, 1, 3])
def test_a_mapped_graph_gives_the_same(both, monkeypatch, few, normalize, draw, k):
    monkeypatch.setattr(pages, "FEW", few)
    seeds = some_seeds()[:50]
    memory, mapped = (PairSampler(g, k, draw, normalize=normalize, seed=2) for g in both)
    assert mapped._cumulative.by_file(1) == (few > 0)
    row, edge = mapped.draw_edges(seeds)
    for found, expected in zip((row, edge), memory.draw_edges(seeds), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        mapped.coefficient(edge, seeds[row]), memory.coefficient(edge, seeds[row])
    )
    np.testing.assert_array_equal(mapped.weight(edge), both[0].weight[edge])
    index = NodeSamplerInput(None, torch.from_numpy(np.unique(seeds)), None)
    outputs = [sampler.sample_from_nodes(index) for sampler in (mapped, memory)]
    for name in ("node", "row", "col", "edge"):
        assert torch.equal(*(getattr(output, name) for output in outputs))


def test_a_pickled_sampler_draws_the_same(both):
    seeds = some_seeds()
    for graph in both:
        sampler = PairSampler(graph, 2, seed=4)
        again = pickle.loads(pickle.dumps(sampler))
        assert again.draw_edges(seeds)[1].tolist() == sampler.draw_edges(seeds)[1].tolist()


class Numbers(ImageReader):
    """A picture of an image is its number."""

    def __init__(self):
        pass

    def read_noting(self, positions):
        return positions.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).contiguous(), {}


def batches(graph, data, workers):
    sampler = PairSampler(graph, 3, seed=4)
    loader: Any = neighbor_loader(
        data, Numbers(), graph.labels["given"], sampler, batch_size=8, workers=workers
    )
    loader.set_epoch(2)
    return list(loader)


# Python warns of fork in a process with threads; torch's workers fork all the same.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
# Torch warns of more workers than this process has cores.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_without_the_edge_list_gives_the_same_batches(both, workers):
    memory, mapped = both
    data = without_edges(mapped)
    assert (data.num_nodes, data.num_edges) == (60, 0)
    found = batches(mapped, data, workers)
    expected = batches(memory, to_data(memory), 0)
    assert len(found) == len(expected) == 4
    for a, b in zip(found, expected, strict=True):
        # What to_data alone brings: attributes of the whole graph.
        assert set(b.keys()) - set(a.keys()) == {"y", "labelled_mask", "edge_weight"}
        for key in a.keys():  # noqa: SIM118  (PyG iterates over pairs)
            assert torch.equal(torch.as_tensor(a[key]), torch.as_tensor(b[key])), key
        assert a.edge_index.size(1) == a.edge_coefficient.numel() > 0


def test_training_makes_no_edge_list(make, finished):
    dataset, _ = finished
    data = TrainingData(dataset, open_graph(dataset / "graph"), make.small_run())
    loader: Any = data.train_dataloader()
    assert data.graph.num_edges > 0
    assert loader.data.num_edges == 0
