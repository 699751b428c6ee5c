"""Runs: their folders, their budgets, and that they repeat bit for bit."""

import csv
import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from graphrise.config import GraphConfig
from graphrise.errors import ConfigError, DataError, GraphriseError
from graphrise.graph.build import build_graph
from graphrise.nn.encoder import Encoder, load_encoder
from graphrise.train.folder import prepare, read_run, versions
from graphrise.train.run import train
from graphrise.train.trainer import precision_of


@pytest.fixture
def graph(dataset):
    return build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)


@pytest.fixture
def fit(make, dataset, graph):
    def run(folder, **stages):
        config = make.small_run(**stages)
        return train(dataset, graph, folder, config, display=make.silent)

    return run


def weights_of(run):
    return load_encoder(run)[0].state_dict()


def test_one_seed_twice_is_bit_equal(fit, tmp_path):
    stages = {"edges": {"alpha": 0.5}, "labels": {"spread": True}, "train": {"seed": 3}}
    results = [fit(tmp_path / name, **stages) for name in "ab"]
    first, again = (weights_of(tmp_path / name) for name in "ab")
    assert all(torch.equal(first[key], again[key]) for key in first)
    losses = [[p["label_loss"] for p in r.curve] for r in results]
    assert losses[0] == losses[1]
    stages["train"] = {"seed": 4}
    fit(tmp_path / "c", **stages)
    other = weights_of(tmp_path / "c")
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_budget_of_passes_ends_within_a_batch(fit, tmp_path, alpha):
    result = fit(tmp_path / "r", train={"passes": 20, "batch_size": 2}, edges={"alpha": alpha})
    assert 20 <= result.passes < 20 + 3 * (1 + 1)


def test_a_budget_of_epochs_ends_within_a_batch(fit, tmp_path):
    # Twelve labelled images, batches of four.
    for epochs, passes in ((2.0, 24), (1.5, 20), (0.1, 4)):
        budget = {"epochs": epochs, "passes": None, "batch_size": 4}
        result = fit(tmp_path / str(epochs), train=budget, labels={"source": "queries"})
        assert result.passes == passes


def test_a_batch_of_one_image_says_what_to_do(fit, tmp_path):
    with pytest.raises(ConfigError, match=r"batch of one image.*raise train\.batch_size"):
        fit(tmp_path / "one", train={"batch_size": 1})
    # Three images in batches of at most two would leave one: they make one batch.
    assert fit(tmp_path / "two", train={"batch_size": 2, "passes": 3}).passes == 3


def test_the_earlier_end_counts(fit, tmp_path):
    budget = {"epochs": 1.0, "passes": 10_000, "batch_size": 3}
    assert fit(tmp_path / "r", train=budget).passes == 3


def test_the_folder_says_what_was_done(finished):
    dataset, run = finished
    names = {p.name for p in run.iterdir()}
    assert {"config.yaml", "metrics.csv", "run.json", "checkpoint", "encoder.json"} <= names
    config, trained_on, result = read_run(run)
    assert trained_on == dataset
    assert config.edges.neighbors == 2
    assert config.labels.spread
    assert 24 <= result.passes < 24 + 3 * 3
    assert result.seconds > 0
    assert result.notes == ["labels spread over the graph: 3 -> 12 labelled images"]
    assert result.curve[-1]["passes"] == result.passes
    assert {"label_loss", "edge_loss"} <= set(result.curve[-1])
    found = json.loads((run / "run.json").read_text())["versions"]
    assert found == versions()
    assert {"python", "torch", "torch-geometric", "timm", "lightning", "graphrise"} <= set(found)
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"label_loss", "edge_loss", "passes", "step"} <= set(rows[-1])
    assert float(rows[-1]["passes"]) == result.passes
    assert float(rows[-1]["label_loss"]) == pytest.approx(result.curve[-1]["label_loss"])


@pytest.mark.parametrize("steps", [3, 10, 25])
def test_metrics_hold_every_tenth_step_and_the_last(fit, tmp_path, steps):
    fit(tmp_path / "r", train={"passes": 3 * steps})
    with (tmp_path / "r" / "metrics.csv").open() as file:
        seen = [int(row["step"]) for row in csv.DictReader(file)]
    assert seen == sorted({*range(9, steps, 10), steps - 1})


def test_config_round_trips_through_the_folder(make, tmp_path, dataset):
    config = make.small_run(
        encoder={"name": "resnet18", "kwargs": {"channels": (8, 8), "block": {"sizes": [1]}}},
        evaluate={"queries": ("split=a", "split=b"), "group": None},
        shuffle_graph=4,
    )
    prepare(tmp_path / "r", config, dataset, overwrite=False)
    result = {"passes": 1, "seconds": 0.5, "peak_mib": 1.0, "curve": [], "notes": []}
    (tmp_path / "r" / "run.json").write_text(json.dumps(result))
    found, folder, _ = read_run(tmp_path / "r")
    assert found == config
    assert folder == dataset.resolve()


def test_the_checkpoint_holds_plain_tensors(finished):
    _, run = finished
    checkpoint = torch.load(run / "checkpoint" / "last.ckpt", weights_only=True)
    assert checkpoint["graphrise"]["passes"] == read_run(run)[2].passes
    state = {
        key.removeprefix("encoder."): value
        for key, value in checkpoint["state_dict"].items()
        if key.startswith("encoder.")
    }
    exported = weights_of(run)
    assert state.keys() == exported.keys()
    assert all(torch.equal(state[key], exported[key]) for key in state)


def test_the_exported_encoder_embeds_like_the_trained(finished):
    _, run = finished
    config = read_run(run)[0]
    loaded, shown = load_encoder(run)
    assert shown.size == config.images.size
    encoder = Encoder(config.encoder).eval()
    encoder.load_state_dict(loaded.state_dict())
    x = torch.randn(2, 3, shown.size, shown.size)
    torch.testing.assert_close(loaded(x), encoder(x), rtol=0, atol=0)


def test_probes_see_the_encoder_ten_times(make, dataset, graph, tmp_path):
    seen, shown = [], []

    def probe(encoder):
        seen.append(encoder.training)
        return {"recall@1": 0.25}

    config = make.small_run(train={"passes": 60})
    result = train(
        dataset, graph, tmp_path / "r", config, probe=probe,
        display=lambda fraction, state: shown.append((fraction, state)),
    )  # fmt: skip
    assert len(seen) == len(result.curve) == 10
    assert all(point["recall@1"] == 0.25 for point in result.curve)
    fractions = [fraction for fraction, _ in shown]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert "recall@1 0.25" in shown[-1][1]


def test_a_loss_that_is_not_finite_stops(fit, tmp_path):
    with pytest.raises(GraphriseError, match=r"r: the loss is not finite after .* lower train\.lr"):
        fit(tmp_path / "r", train={"lr": 1e30, "passes": 10_000, "warmup": 0.0})
    with pytest.raises(DataError, match=r"its training did not finish \(no run\.json\)"):
        read_run(tmp_path / "r")


def test_an_empty_log_trains_as_cross_entropy(make, dataset, tmp_path):
    log = dataset / "impressions.parquet"
    pq.write_table(pq.read_table(log).slice(0, 0), log)
    graph = build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)
    config = make.small_run(edges={"alpha": 1.0}, labels={"spread": True})
    result = train(dataset, graph, tmp_path / "r", config, display=make.silent)
    assert "the graph has no edges: training is cross-entropy only" in result.notes
    assert all("edge_loss" not in point for point in result.curve)


def test_a_picture_that_cannot_be_read_stops_with_its_name(make, dataset, graph, tmp_path):
    images = dataset / "images.parquet"
    rows = pq.read_table(images).to_pylist()
    rows[0]["image"] = b"no image"
    pq.write_table(pa.Table.from_pylist(rows), images)
    with pytest.raises(DataError, match=r"image_id 'red-0' \(column 'image'\) cannot be read"):
        train(dataset, graph, tmp_path / "r", make.small_run(), display=make.silent)


def test_overwrites_runs_only_and_only_if_asked(make, dataset, graph, tmp_path, finished):
    config, run = make.small_run(), tmp_path / "r"
    prepare(run, config, dataset, overwrite=False)
    (run / "old.txt").touch()
    with pytest.raises(DataError, match="exists already; give --overwrite"):
        train(dataset, graph, run, config, display=make.silent)
    assert (run / "old.txt").exists()
    prepare(run, config, dataset, overwrite=True)
    assert not (run / "old.txt").exists()
    for content in (None, "training: {lr: 1}\n", "[1, 2]\n", ": : :\n", "dataset: x\n"):
        project = tmp_path / "project"
        project.mkdir(exist_ok=True)
        (project / "thesis.tex").touch()
        if content is not None:
            (project / "config.yaml").write_text(content)
        with pytest.raises(DataError, match="is not a run folder, so it is not overwritten"):
            train(dataset, graph, project, config, display=make.silent, overwrite=True)
        assert (project / "thesis.tex").exists()
    with pytest.raises(DataError, match="is a file"):
        prepare(run / "config.yaml", config, dataset, overwrite=True)


def test_wrong_data_is_found_before_the_folder_is_touched(make, graph, tmp_path):
    rows = [r for r in make.coloured_rows() if r["image_id"] != "red-0"]
    other = make.save_tables(tmp_path / "other", rows)
    with pytest.raises(DataError, match="another dataset"):
        train(other, graph, tmp_path / "r", make.small_run(), display=make.silent)
    assert not (tmp_path / "r").exists()


def test_damaged_run_folders(finished, tmp_path):
    with pytest.raises(DataError, match=r"not a run folder \(no config\.yaml\)"):
        read_run(tmp_path)
    run = finished[1]
    config = yaml.safe_load((run / "config.yaml").read_text())
    result = (run / "run.json").read_text()
    del config["run"]["train"]["lr"]
    config["run"]["train"]["learning_rate"] = 1
    texts = (
        (yaml.safe_dump(config), result),
        ("run: {}", "{"),
        ("run: 3", result),
        ("run: {}", result),
    )
    for text, found in texts:
        (tmp_path / "config.yaml").write_text(text)
        (tmp_path / "run.json").write_text(found)
        with pytest.raises(DataError, match=r"(config\.yaml|run\.json)(:| is) damaged"):
            read_run(tmp_path)


def test_precision(make, monkeypatch):
    def of(precision, accelerator="cpu", size=32):
        return precision_of(
            make.small_run(
                images={"size": size}, train={"precision": precision, "accelerator": accelerator}
            )
        )

    assert of("32-true") == "32-true"
    assert of("bf16-mixed") == "bf16-mixed"
    for has, want in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(
            torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has, raising=False
        )
        assert of("auto") == want
        assert of("auto", size=31) == "32-true"
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        # A GPU in the box says nothing about a run on the CPU.
        assert of("auto") == want
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has: not has)
        assert of("auto", "cuda") != want
        assert of("auto", "auto") != want
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert of("auto") == "32-true"


def test_bf16_runs(fit, tmp_path):
    result = fit(tmp_path / "r", images={"size": 32}, train={"precision": "bf16-mixed"})
    assert result.curve[-1]["label_loss"] > 0


def test_training_lowers_the_loss(fit, tmp_path):
    result = fit(
        tmp_path / "r",
        labels={"spread": True},
        edges={"alpha": 0.1},
        train={"passes": 1500, "batch_size": 12, "lr": 0.005},
    )
    assert result.curve[-1]["label_loss"] < 0.6 * result.curve[0]["label_loss"]


def test_loader_workers_change_nothing(fit, tmp_path):
    for workers in (0, 1):
        fit(tmp_path / str(workers), images={"workers": workers}, edges={"alpha": 1.0})
    alone, helped = (weights_of(tmp_path / name) for name in "01")
    assert all(torch.equal(alone[key], helped[key]) for key in alone)


def test_results_are_plain(finished):
    result = read_run(finished[1])[2]
    assert json.loads(json.dumps(dataclasses.asdict(result))) == dataclasses.asdict(result)
