"""Batches are the same bytes whatever makes them: processes, threads, work ahead, ranks."""

import hashlib
import threading

import numpy as np
import pytest
import torch

from graphrise.errors import DataError
from graphrise.images.dataset import open_images
from graphrise.images.reader import ImageReader
from graphrise.loader.batch import TrainingLoader, without_edges
from graphrise.loader.grouped import Grouped
from graphrise.loader.order import EvenBatches, Shuffled
from graphrise.loader.plan import BatchPlan
from graphrise.loader.sampler import PairSampler
from graphrise.loader.subgraph import SubgraphSampler

NODES, SEED = 40, 5
pytestmark = [
    # Python warns of fork in a process with threads; torch's workers fork all the same.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning"),
    # Torch warns of more workers than this process has cores.
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


@pytest.fixture(scope="module")
def parts(make, graphs, tmp_path_factory):
    """A graph and the store of its pictures."""
    rows = [
        {"image_id": f"image-{i}", "image": make.noisy((6 * i, 9, 99), i), "split": "train"}
        for i in range(NODES)
    ]
    folder = tmp_path_factory.mktemp("pictures") / "d"
    _, store = open_images(make.save_tables(folder, rows))
    return graphs.graph_of_kinds(make, NODES, 120, seed=1), store


def sampler_of(graph, way):
    labels = graph.labels["given"]
    if way == "subgraph":
        return SubgraphSampler(graph, (2, 1), labels=labels, unlabelled_edges=True, seed=SEED)
    if way == "bank":
        return PairSampler(
            graph, 2, "uniform", kinds=("coclick",), labels=labels, neighbors="bank", seed=SEED
        )
    return PairSampler(graph, 2, seed=SEED)


def plan_of(graph, way, rank=0, world_size=1):
    has = graph.labels["given"].counts > 0
    labelled, rest = np.flatnonzero(has), np.flatnonzero(~has)
    if way == "pairs":
        order, options = Shuffled(labelled.size, SEED), {}
    else:
        order, options = Grouped(graph, labelled, 3, seed=SEED), {"unlabelled": rest, "ratio": 0.5}
    if way == "bank":
        options |= {"sweep_every": 2, "sweep_size": 3}
    batches = EvenBatches(order, 4, rank=rank, world_size=world_size)
    return BatchPlan(batches, labelled, NODES, seed=SEED, **options)


def loader_of(parts, way="pairs", rank=0, world_size=1, reader=None, threads=1, cache=0, **options):
    graph, store = parts
    if reader is None:
        reader = ImageReader(store, np.arange(NODES), 8, threads=threads, cache_mib=cache)
    plan = plan_of(graph, way, rank, world_size)
    return TrainingLoader(
        without_edges(graph), reader, graph.labels["given"], sampler_of(graph, way), plan, **options
    )


def digest(batch):
    found = hashlib.sha256()
    for key in sorted(batch.keys()):
        value = torch.as_tensor(batch[key]).contiguous()
        found.update(f"{key} {value.dtype} {list(value.shape)}".encode())
        found.update(value.numpy().tobytes())
    return found.hexdigest()


def epochs_of(loader, epochs=(0, 1)):
    found = []
    for epoch in epochs:
        loader.set_epoch(epoch)
        found.append([digest(batch) for batch in loader])
    return found


@pytest.fixture(scope="module")
def plain(parts):
    """Two epochs' digests, made in this thread, by way."""
    return {
        way: epochs_of(loader_of(parts, way, prefetch=0)) for way in ("pairs", "subgraph", "bank")
    }


@pytest.mark.parametrize("way", ["pairs", "subgraph", "bank"])
@pytest.mark.parametrize(
    "options",
    [
        {"prefetch": 2},
        {"prefetch": 0, "threads": 4},
        {"prefetch": 2, "threads": 4, "cache": 1},
        {"workers": 1},
        {"workers": 4, "threads": 4},
    ],
)
def test_the_same_bytes(parts, plain, way, options):
    assert epochs_of(loader_of(parts, way, **options)) == plain[way]


def test_batches_differ_and_hold_all_there_is_to_compare(parts, plain):
    for epochs in plain.values():
        digests = [d for epoch in epochs for d in epoch]
        assert len(set(digests)) == len(digests) >= 8
    batches = list(loader_of(parts, "bank"))
    assert {"x", "augment", "bank_node", "bank_coefficient", "label_weight"} <= set(
        batches[0].keys()
    )
    assert max(b.num_others for b in batches) > 0
    assert max(b.num_forward for b in batches) > 0
    assert max(b.bank_row.numel() for b in batches) > 0
    assert next(iter(loader_of(parts, "subgraph"))).num_others > 0


@pytest.mark.parametrize("way", ["pairs", "subgraph", "bank"])
@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_cover_each_labelled_image_once(parts, way, workers):
    graph = parts[0]
    labelled = np.flatnonzero(graph.labels["given"].counts > 0).tolist()
    loaders = [loader_of(parts, way, rank=rank, world_size=2, workers=workers) for rank in range(2)]
    assert len(loaders[0]) == len(loaders[1])
    seen = []
    for loader in loaders:
        loader.set_epoch(1)
        seen += [n for b in loader for n in b.n_id[: b.batch_size].tolist()]
    assert sorted(seen) == labelled


def helpers():
    return [t for t in threading.enumerate() if t.name == "graphrise-batches"]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_keeps_its_type(parts, graphs, prefetch):
    error = DataError("image_id 'image-3' cannot be read")
    reader = graphs.Numbers(bad=range(NODES), error=error)
    loader = loader_of(parts, reader=reader, prefetch=prefetch)
    with pytest.raises(DataError) as caught:
        list(loader)
    assert caught.value is error
    assert helpers() == []


def test_an_error_in_a_worker_keeps_its_type(parts, graphs):
    error = DataError("image_id 'image-3' cannot be read")
    reader = graphs.Numbers(bad=range(NODES), error=error)
    with pytest.raises(DataError, match="image_id 'image-3' cannot be read"):
        list(loader_of(parts, reader=reader, workers=1))


def test_breaking_off_ends_the_thread(parts):
    for batch in loader_of(parts, prefetch=1):
        assert batch.batch_size > 0
        assert len(helpers()) == 1
        break
    assert helpers() == []
