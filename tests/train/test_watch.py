"""The rows of figures that a run leaves."""

import csv
import json
from types import SimpleNamespace

import pytest
import torch

from graphrise.config import GraphConfig
from graphrise.graph.build import build_graph
from graphrise.nn.encoder import Encoder
from graphrise.train import fetch_clock, watch
from graphrise.train import module as module_file
from graphrise.train.collapse import ROWS
from graphrise.train.progress import Budget
from graphrise.train.run import train
from graphrise.train.schedule import rate
from graphrise.train.watch import Watch

SPEED = {"images_per_second", "loader_wait"}


@pytest.fixture
def graph(dataset):
    return build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)


@pytest.fixture
def fit(make, dataset, graph):
    def run(folder, display=make.silent, resume=False, **stages):
        config = make.small_run(**stages)
        return train(dataset, graph, folder, config, display=display, resume=resume), config

    return run


def rows_of(run):
    with (run / "metrics.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def test_a_row_holds_every_figure(fit, tmp_path):
    _, config = fit(tmp_path / "r", edges={"alpha": 0.5}, train={"passes": 50}, watch={"every": 4})
    rows = rows_of(tmp_path / "r")
    counts = ["step", "epoch", "passes", "seeds"]
    losses = ["label_loss", "edge_loss", "edge_loss/coclick", "loss"]
    others = ["lr", "grad_norm/encoder", "grad_norm/head", "embedding_spread", "embedding_rank"]
    for row in rows:
        assert set(row) == {*counts, *losses, *others, *SPEED}
        assert row["loss"] == pytest.approx(row["label_loss"] + 0.5 * row["edge_loss"])
        assert row["edge_loss/coclick"] == pytest.approx(row["edge_loss"])
        assert row["seeds"] == 3 * (row["step"] + 1)
        assert row["seeds"] < row["passes"] <= 2 * row["seeds"]
        assert row["grad_norm/encoder"] > 0 < row["grad_norm/head"]
        assert 0 < row["embedding_spread"] <= 1.5
        assert row["images_per_second"] > 0
        assert 0 < row["loader_wait"] <= 1
    steps = [row["step"] for row in rows]
    assert steps[:-1] == list(range(3, int(steps[-1]), 4))
    assert rows[-1]["passes"] >= config.train.passes


def test_the_rate_is_that_of_the_step_itself(fit, tmp_path):
    # Batches of three without neighbours: step n begins when 3 n of 24 passes are used.
    _, config = fit(tmp_path / "r", watch={"every": 1})
    rows = rows_of(tmp_path / "r")
    assert [row["epoch"] for row in rows] == list(range(8))
    for step, row in enumerate(rows):
        assert row["step"] == step
        assert row["lr"] == pytest.approx(config.train.lr * rate(config.train, 3 * step / 24))


def test_loggers_get_the_same_figures(fit, tmp_path):
    pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    fit(tmp_path / "r", watch={"every": 3})
    (file,) = (tmp_path / "r" / "tensorboard").iterdir()
    data, at, found = file.read_bytes(), 0, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 8], "little")
        event = pb2.Event.FromString(data[at + 12 : at + 12 + length])
        if event.summary.value:
            found.append({v.tag: v.simple_value for v in event.summary.value})
            found[-1]["step"] = event.step
        at += 16 + length
    rows = rows_of(tmp_path / "r")
    assert [row["step"] for row in rows] == [2, 5, 7]
    assert found == [pytest.approx(row, rel=1e-6) for row in rows]


def test_watching_changes_nothing_that_is_trained(fit, tmp_path):
    last = [fit(tmp_path / str(every), watch={"every": every})[0].curve[-1] for every in (1, 100)]
    assert last[0]["loss"] == last[1]["loss"]
    assert [row["step"] for row in rows_of(tmp_path / "100")] == [7]


def test_gradients_are_measured_before_they_are_clipped(fit, tmp_path):
    for name, clip in (("free", None), ("clipped", 1e-3)):
        fit(tmp_path / name, train={"clip": clip}, watch={"every": 1})
    free, clipped = (rows_of(tmp_path / name)[0] for name in ("free", "clipped"))
    for part in ("grad_norm/encoder", "grad_norm/head"):
        assert free[part] == clipped[part] > 1e-2


def test_a_sampled_head_has_its_own_rate(fit, tmp_path):
    _, config = fit(
        tmp_path / "r", head={"kind": "sampled", "num_negatives": 2}, watch={"every": 1}
    )
    row = rows_of(tmp_path / "r")[2]
    share = rate(config.train, 6 / 24)
    assert row["lr"] == pytest.approx(config.train.lr * share)
    assert row["lr/head"] == pytest.approx(config.head.lr * share)
    assert row["grad_norm/head"] > 0


def test_lengths_are_there_where_embeddings_have_any(fit, tmp_path):
    fit(tmp_path / "r", encoder={"normalize": False})
    assert all(row["embedding_norm"] > 0 for row in rows_of(tmp_path / "r"))


def test_speed_counts_fetch_and_step_and_nothing_between(make, monkeypatch):
    now = [100.0]
    fake = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr(fetch_clock, "time", fake)
    monkeypatch.setattr(watch, "time", fake)
    seen = []
    logger = SimpleNamespace(log_metrics=lambda row, step: seen.append((step, row)))
    trainer = SimpleNamespace(global_step=0, loggers=[logger], current_epoch=0)
    config = make.small_run()
    module = SimpleNamespace(
        config=config, passes=0, seeds=0, latest={}, embeddings=None, device=torch.device("cpu"),
        encoder=torch.nn.Linear(1, 1), head=torch.nn.Linear(1, 1),
        is_logged=lambda: trainer.global_step % 2 == 1, fraction=lambda: 0.5,
    )  # fmt: skip
    optimizer = torch.optim.SGD(module.encoder.parameters(), lr=1.0)
    watched = Watch(Budget(make.silent))
    watched.on_train_start(trainer, module)  # pyright: ignore
    for fetched, stepped in ((1.0, 3.0), (2.0, 2.0), (0.0, 4.0), (1.0, 3.0)):
        now[0] += 1000  # A probe; and images encoded outside of steps.
        module.passes += 7
        watched.clock.start("[_TrainingEpochLoop].train_dataloader_next")
        now[0] += fetched
        watched.clock.stop("[_TrainingEpochLoop].train_dataloader_next")
        watched.clock.stop("[Callback]Other.on_train_batch_start")
        watched.on_train_batch_start(trainer, module, None, 0)  # pyright: ignore
        now[0] += stepped
        module.passes += 10
        watched.on_before_optimizer_step(trainer, module, optimizer)  # pyright: ignore
        trainer.global_step += 1
        watched.on_train_batch_end(trainer, module, None, None, 0)  # pyright: ignore
    speeds = [(step, row["images_per_second"], row["loader_wait"]) for step, row in seen]
    assert speeds == [(1, pytest.approx(20 / 8), 3 / 8), (3, pytest.approx(20 / 8), 1 / 8)]
    assert watched.totals() == {"images_per_second": 40 / 16, "loader_wait": 4 / 16}


def test_the_result_says_how_fast_it_was(fit, tmp_path):
    fit(tmp_path / "r")
    found = json.loads((tmp_path / "r" / "run.json").read_text())
    assert found["images_per_second"] > 0
    # A fetch is timed at all: Lightning still calls its profiler there.
    assert 0 < found["loader_wait"] < 1


class Constant(Encoder):
    """Sees every picture as a grey one."""

    def forward(self, x, *args, **kwargs):
        return super().forward(torch.zeros_like(x), *args, **kwargs)


def test_an_encoder_that_gives_a_constant_is_noticed(fit, tmp_path, monkeypatch):
    shown = []
    run = {"train": {"passes": 3 * 16}, "watch": {"every": 1}}
    fine, _ = fit(tmp_path / "fine", **run)
    assert not any("collapsed" in note for note in fine.notes)
    monkeypatch.setattr(module_file, "Encoder", Constant)
    result, _ = fit(tmp_path / "r", display=lambda _, state: shown.append(state), **run)
    rows = rows_of(tmp_path / "r")
    assert all(row["embedding_spread"] == pytest.approx(0, abs=1e-5) for row in rows)
    (note,) = [note for note in result.notes if "collapsed" in note]
    # Warm-up is the first tenth: more than 4.8 passes are used from step 1 on.
    assert f"at step {ROWS} " in note
    assert not shown[0].endswith("COLLAPSED")
    assert shown[-1].endswith("COLLAPSED")
    assert note in json.loads((tmp_path / "r" / "run.json").read_text())["notes"]


def test_a_run_that_goes_on_leaves_the_rows_of_one_that_was_not_interrupted(fit, tmp_path):
    run = {
        "train": {"passes": 3 * 40},
        "watch": {"every": 4},
        "checkpoint": {"steps": 10},
    }
    fit(tmp_path / "whole", **run)

    def stop(fraction, state):
        if fraction > 0.6:
            raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError, match="pulled"):
        fit(tmp_path / "cut", display=stop, **run)
    # Checkpoints are of 10 and 20 steps: some rows come later, and come again.
    assert rows_of(tmp_path / "cut")[-1]["step"] == 27
    fit(tmp_path / "cut", resume=True, **run)
    whole, cut = (
        [{k: v for k, v in row.items() if k not in SPEED} for row in rows_of(tmp_path / name)]
        for name in ("whole", "cut")
    )
    assert [row["step"] for row in whole] == list(range(3, 40, 4))
    assert cut == whole
    assert len(list((tmp_path / "cut" / "tensorboard").iterdir())) == 2
