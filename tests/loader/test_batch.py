"""Batches from PyG's own NodeLoader: what they hold, and that they repeat."""

from typing import Any

import numpy as np
import pytest
import torch

from graphrise.graph.convert.pyg import to_data
from graphrise.images.dataset import open_images
from graphrise.images.reader import ImageReader
from graphrise.loader.augment import augment_draws
from graphrise.loader.batch import neighbor_loader
from graphrise.loader.sampler import PairSampler

NODES = 9
LABELS = {0: {0: 1.0}, 2: {1: 0.25, 2: 0.75}, 3: {2: 1.0}, 5: {0: 1.0}, 8: {1: 1.0}}
EDGES = [(0, 1, 0.5), (0, 2, 0.9), (1, 2, 0.3), (2, 3, 1.0), (3, 4, 0.2), (5, 6, 0.7), (2, 6, 0.4)]


@pytest.fixture
def parts(make, tmp_path):
    """Graph, reader and data; node 8 is labelled without an edge, node 7 has neither."""
    rows = [
        {"image_id": f"image-{i}", "image": make.noisy((20 * i, 9, 99), i), "split": "train"}
        for i in range(NODES)
    ]
    _, store = open_images(make.save_tables(tmp_path / "d", rows))
    graph = make.made_graph(NODES, EDGES, LABELS)
    return graph, ImageReader(store, np.arange(NODES), 8), to_data(graph)


def loader_of(parts, k=3, batch_size=2, workers=0, seed=4, draw: Any = "weighted"):
    graph, reader, data = parts
    sampler = PairSampler(graph, k, draw, seed=seed)
    return neighbor_loader(
        data, reader, graph.labels["given"], sampler, batch_size=batch_size, workers=workers
    )


def epoch_of(loader, epoch):
    loader.set_epoch(epoch)
    return list(loader)


def test_a_batch_holds_what_it_says(parts):
    graph, reader, data = parts
    for batch in epoch_of(loader_of(parts), 2):
        nodes = batch.n_id
        seeds = nodes[: batch.batch_size]
        assert nodes.unique().numel() == nodes.numel() == batch.num_nodes
        assert set(seeds.tolist()) <= set(LABELS)
        torch.testing.assert_close(data.edge_index[:, batch.e_id], nodes[batch.edge_index])
        assert (batch.edge_index[0] < batch.batch_size).all()
        own = PairSampler(graph, 3, seed=4)
        own.epoch = 2
        assert batch.e_id.tolist() == own.draw_edges(seeds.numpy())[1].tolist()
        assert (batch.num_others, batch.num_forward) == (0, 0)
        assert batch.num_seed_edges == batch.e_id.numel() == batch.edge_coefficient.numel()
        torch.testing.assert_close(batch.y, data.y[nodes])
        assert batch.x.dtype == torch.uint8
        torch.testing.assert_close(batch.x, reader.read(nodes))
        torch.testing.assert_close(batch.augment, augment_draws(4, 2, nodes.numpy()))
        row, index, weight = graph.labels["given"].rows(seeds.numpy())
        assert batch.label_row.tolist() == row.tolist()
        assert batch.label_index.tolist() == index.tolist()
        assert batch.label_weight.tolist() == weight.tolist()
        # Normalised weighted draws count 1 / k each; a seed with edges has k of them.
        assert batch.edge_coefficient.tolist() == pytest.approx([1 / 3] * batch.e_id.numel())
        drawn = torch.bincount(batch.edge_index[0], minlength=batch.batch_size).tolist()
        assert drawn == [0 if s == 8 else 3 for s in seeds.tolist()]
        # Every image beyond the seeds is there because an edge drew it.
        assert set(range(batch.batch_size, nodes.numel())) <= set(batch.edge_index[1].tolist())


def test_uniform_coefficients_reach_the_batch(parts):
    graph = parts[0]
    for batch in epoch_of(loader_of(parts, draw="uniform"), 0):
        weight = graph.weight[batch.e_id.numpy()]
        for w, c, position in zip(weight, batch.edge_coefficient, batch.edge_index[0], strict=True):
            u = int(batch.n_id[position])
            mine = graph.weight[graph.rowptr[u] : graph.rowptr[u + 1]]
            assert float(c) == pytest.approx(w / mine.sum() * mine.size / 3)


def test_an_epoch_is_a_permutation_of_the_labelled_images(parts):
    loader = loader_of(parts)
    orders = []
    for epoch in (0, 1):
        batches = epoch_of(loader, epoch)
        assert [b.batch_size for b in batches] == [2, 3]
        orders.append([n for b in batches for n in b.n_id[: b.batch_size].tolist()])
        assert sorted(orders[-1]) == sorted(LABELS)
    assert orders[0] != orders[1]


def same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.keys() == b.keys()
        for key in a.keys():  # noqa: SIM118  (PyG iterates over pairs)
            assert torch.equal(torch.as_tensor(a[key]), torch.as_tensor(b[key])), key


def test_batches_repeat_for_a_seed_and_change_with_it(parts):
    first, again = (epoch_of(loader_of(parts), 1) for _ in range(2))
    same(first, again)
    same(epoch_of(loader_of(parts), 1), first)
    later = epoch_of(loader_of(parts), 2)
    other = epoch_of(loader_of(parts, seed=5), 1)
    for different in (later, other):
        assert any(
            a.n_id.tolist() != b.n_id.tolist() for a, b in zip(first, different, strict=True)
        )
        assert not torch.equal(first[0].augment[0], different[0].augment[0])


# Python warns of fork in a process with threads; torch's workers fork all the same.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
# Torch warns of more workers than this process has cores.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(parts, workers):
    for epoch in (0, 3):
        same(epoch_of(loader_of(parts, workers=workers), epoch), epoch_of(loader_of(parts), epoch))


def test_without_draws_a_batch_is_its_seeds(parts):
    for batch in epoch_of(loader_of(parts, k=0), 0):
        assert batch.edge_index.shape == (2, 0)
        assert batch.edge_coefficient.shape == (0,)
        assert batch.n_id.numel() == batch.batch_size


def test_one_batch_of_everything_and_seeds_that_neighbour_each_other(parts):
    (batch,) = epoch_of(loader_of(parts, k=20, batch_size=100), 0)
    assert batch.batch_size == len(LABELS)
    assert batch.n_id.unique().numel() == batch.n_id.numel()
    torch.testing.assert_close(parts[2].edge_index[:, batch.e_id], batch.n_id[batch.edge_index])
    # Nodes 0, 2 and 3 are seeds and neighbours: no second copy of them.
    between_seeds = batch.edge_index[1] < batch.batch_size
    assert between_seeds.any()
