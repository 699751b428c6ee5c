"""Runs over pictures that cannot be read: they count nothing and are listed, or end the run."""

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from graphrise.config import GraphConfig
from graphrise.errors import DataError
from graphrise.graph.build import build_graph
from graphrise.nn.bank import EmbeddingBank
from graphrise.train.bad_images import list_bad_images
from graphrise.train.data import TrainingData
from graphrise.train.folder import read_run
from graphrise.train.module import GraphRise
from graphrise.train.run import train

WRECKS = ("red-0", "green-1")
pytestmark = [
    # Python warns of fork in a process with threads; torch's workers fork all the same.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning"),
    # Torch warns of more workers than this process has cores.
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


@pytest.fixture
def wrecked(make, tmp_path):
    """A dataset with the bytes of red-0 damaged and the file of green-1 missing."""
    rows = [{**row, "path": None} for row in make.coloured_rows()]
    for row in rows:
        if row["image_id"] == "red-0":
            row["image"] = row["image"][:40]
        if row["image_id"] == "green-1":
            row["image"], row["path"] = None, "nowhere, or so.png"
    return make.save_tables(tmp_path / "wrecked", rows, make.coloured_log())


@pytest.fixture
def graph(wrecked):
    return build_graph(wrecked, wrecked / "graph", GraphConfig())


def config_of(make, **stages):
    images = {"on_bad_image": "skip"} | stages.pop("images", {})
    return make.small_run(images=images, labels={"source": "queries"}, **stages)


def listed(run):
    with (run / "bad_images.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", [0, 512])
def test_skipped_pictures_are_listed(make, wrecked, graph, tmp_path, workers, cache):
    run = tmp_path / "run"
    config = config_of(
        make,
        images={"workers": workers, "cache_mib": cache},
        edges={"alpha": 1.0, "neighbors": 2},
        train={"passes": 60, "batch_size": 4},
    )
    result = train(wrecked, graph, run, config, display=make.silent)
    rows = {row["image_id"]: row for row in listed(run)}
    assert set(rows) == set(WRECKS)
    assert list(rows["red-0"]) == ["image_id", "source", "reason"]
    assert rows["red-0"]["source"] == "column 'image'"
    assert rows["green-1"]["source"] == str(wrecked / "nowhere, or so.png")
    assert "No such file" in rows["green-1"]["reason"]
    assert rows["red-0"]["reason"]
    note = f"2 images could not be read and counted nothing: {run / 'bad_images.csv'}"
    assert note in result.notes
    assert note in read_run(run)[2].notes


def test_by_default_they_end_the_run(make, wrecked, graph, tmp_path):
    images = {"on_bad_image": "raise"}
    place = r"\(column 'image'\)|\(.*nowhere, or so\.png\)"
    with pytest.raises(DataError, match=rf"image_id '(red-0|green-1)' ({place}) cannot be read"):
        train(wrecked, graph, tmp_path / "run", config_of(make, images=images), display=make.silent)
    assert not (tmp_path / "run" / "bad_images.csv").exists()
    with pytest.raises(DataError, match="did not finish"):
        read_run(tmp_path / "run")


def test_they_are_listed_even_if_the_run_fails(make, wrecked, graph, tmp_path):
    def stop(encoder):
        raise DataError("the probe fails")

    config = config_of(make, train={"passes": 60, "batch_size": 12})
    with pytest.raises(DataError, match="the probe fails"):
        train(wrecked, graph, tmp_path / "r", config, display=make.silent, probe=stop)
    assert {row["image_id"] for row in listed(tmp_path / "r")} == set(WRECKS)


def test_without_wrecks_there_is_no_list(make, finished, tmp_path):
    dataset, run = finished
    assert not (run / "bad_images.csv").exists()
    data = TrainingData(
        dataset, build_graph(dataset, tmp_path / "g", GraphConfig()), config_of(make)
    )
    assert list_bad_images(tmp_path, data.graph, data.reader, {}) == []
    assert not (tmp_path / "bad_images.csv").exists()


@pytest.fixture
def one_batch(make, wrecked, graph):
    """A module in evaluation, and a batch of all twelve images."""
    config = config_of(
        make,
        edges={"alpha": 1.0, "neighbors": 3},
        train={"batch_size": 12},
        head={"smoothing": 0.1},
    )
    data = TrainingData(wrecked, graph, config)
    torch.manual_seed(1)
    module = GraphRise(config, data.num_labels, data.num_labelled).eval()
    (batch,) = data.train_dataloader()
    return module, batch, graph


def test_the_loss_is_that_of_the_others(one_batch):
    module, batch, graph = one_batch
    assert [graph.image_ids[n] for n in batch.bad_node.tolist()] == sorted(
        WRECKS, key=list(graph.image_ids).index
    )
    bad = {i for i, n in enumerate(batch.n_id.tolist()) if graph.image_ids[n] in WRECKS}
    assert len(bad) == 2
    with torch.no_grad():
        terms = module.losses(batch)
        z = module.embed(batch)
        log_p = module.head.logits(z).log_softmax(dim=1)
    colours = [graph.image_ids[n].split("-")[0] for n in batch.n_id.tolist()]
    names = list(graph.vocabulary["queries"])
    label = edge = 0.0
    for i, colour in enumerate(colours):
        if i not in bad:
            label -= 0.9 * float(log_p[i, names.index(colour)]) + 0.1 * float(log_p[i].mean())
    for u, v in batch.edge_index.T.tolist():
        if not {u, v} & bad:
            edge += float((z[u] - z[v]).square().sum()) / 3
    assert edge > 0
    assert terms["label"].item() == pytest.approx(label / 12, rel=1e-4)
    assert terms["edge"].item() == pytest.approx(edge / 12, rel=1e-4)


def test_no_gradient_comes_from_a_wreck(one_batch):
    module, batch, _ = one_batch
    seen = []

    def watched(layer, arguments, x):
        seen.append(x.detach().requires_grad_())
        return seen[0]

    module.augment.register_forward_hook(watched)
    terms = module.losses(batch)
    (terms["label"] + terms["edge"]).backward()
    moved = seen[0].grad.abs().amax(dim=(1, 2, 3)) > 0
    bad = torch.isin(batch.n_id, batch.bad_node)
    assert torch.equal(moved, ~bad)


def test_a_wreck_never_reaches_the_bank(make, wrecked, graph):
    config = config_of(
        make,
        edges={"alpha": 1.0, "embeddings": "bank"},
        train={"batch_size": 12},
    )
    data = TrainingData(wrecked, graph, config)
    bank = EmbeddingBank(12, 8)
    module = GraphRise(config, data.num_labels, data.num_labelled, bank=bank)
    (batch,) = data.train_dataloader()
    module.losses(batch)
    never = (bank.step < 0).nonzero().ravel().tolist()
    assert never == batch.bad_node.tolist()


def test_a_picture_is_read_anew_by_the_next_run(make, wrecked, graph, tmp_path):
    """Mended in the meantime, it counts again."""
    table = pq.read_table(wrecked / "images.parquet").to_pylist()
    whole = {row["image_id"]: row for row in make.coloured_rows()}
    mended = [{**row, "image": whole[row["image_id"]]["image"]} for row in table]
    pq.write_table(pa.Table.from_pylist(mended), wrecked / "images.parquet")
    config = config_of(make, train={"passes": 24, "batch_size": 12})
    result = train(wrecked, graph, tmp_path / "r", config, display=make.silent)
    assert result.notes == []
    assert not (tmp_path / "r" / "bad_images.csv").exists()
