"""Case `head-learning`, small: the task, what heads learn of it, and the rows."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from benchmarks import child, head_learning, head_learning_worker
from benchmarks.__main__ import main
from benchmarks.head_learning import FULL, WAYS, Way
from benchmarks.head_learning_worker import PARTS, Model, Work, measure, recall
from benchmarks.head_task import LEVELS, Task
from graphrise.errors import ConfigError

SIZE = head_learning.Size(labels=27, steps=60, batch=16, dim=8, held_out=64, noise=0.3)
FEW = {
    "few": Way(head="log_uniform", label_lr=0.8, negatives=9),
    "half": Way(head="uniform", label_lr=0.8, negatives=9, share=0.5),
}
WORK = Work(
    head="full",
    labels=27,
    seed=3,
    checks=[20, 120],
    batch=32,
    dim=8,
    scale=12.0,
    lr=2e-3,
    label_lr=0.05,
    decay=0.0,
    optimizer="adagrad",
    negatives=9,
    held_out=300,
    noise=1.2,
)


@pytest.fixture
def here(monkeypatch):
    """Children's work is done in this process; gives what was asked of them."""
    asked = []

    def answer(module, settings, need_gib):
        assert module == "benchmarks.head_learning_worker"
        asked.append((settings["head"], settings["seed"], settings["checks"]))
        return measure(Work(**json.loads(json.dumps(settings))))

    monkeypatch.setattr(head_learning, "answer", answer)
    monkeypatch.setattr(head_learning, "WAYS", FEW)
    return asked


def test_images_are_a_function_of_seed_and_number():
    task = Task(labels=1000, seed=4)
    x, label = task.images(0, 50)
    assert x.shape == (50, 64)
    assert x.dtype == torch.float32
    assert float(x.abs().max()) < 1
    again, same = task.images(20, 30)
    assert torch.equal(again, x[20:])
    assert torch.equal(same, label[20:])
    for other in (task.images(0, 50, held_out=True), Task(labels=1000, seed=5).images(0, 50)):
        assert not torch.equal(other[1], label)
        assert not (other[0] == x).any()


def test_labels_fall_by_zipfs_law():
    label = Task(labels=100).images(0, 20_000)[1]
    count = torch.bincount(label, minlength=100).double()
    rank = torch.arange(100, dtype=torch.float64)
    expected = 20_000 * torch.log1p(1 / (rank + 1)) / math.log(101)
    assert float(((count - expected) ** 2 / expected).sum()) < 160  # chi squared, 99 degrees


def test_labels_lie_in_a_tree():
    task = Task(labels=1000, seed=1)
    centres = task.centres(np.arange(1000))
    assert centres.var() == pytest.approx(sum(d**2 for d in LEVELS), rel=0.2)
    length = (centres**2).mean(axis=1)
    squares = length[:, None] + length - 2 * centres @ centres.T / task.features
    np.fill_diagonal(squares, np.inf)
    own, parent, top = (d**2 for d in LEVELS[::-1])
    order = np.sort(squares, axis=1)
    # Nine siblings, ninety cousins, and the others, ten to a parent and ten parents to one.
    for part, expected in (
        (order[:, :9], own),
        (order[:, 9:99], own + parent),
        (order[:, 99:-1], own + parent + top),
    ):
        assert part.mean() == pytest.approx(2 * expected, rel=0.1)
    # Frequent labels are no siblings for being frequent.
    frequent = squares[:100, :100]
    assert (frequent < 2 * own * 1.3).sum() < 300


@pytest.mark.parametrize(
    "settings",
    [
        {"head": "full"},
        {"head": "log_uniform", "label_lr": 0.8},
        {"head": "uniform", "label_lr": 0.8},
        {"head": "mixed", "label_lr": 0.8},
        {"head": "log_uniform", "label_lr": 0.05, "optimizer": "rmsprop"},
    ],
    ids=str,
)
def test_every_head_learns(settings):
    found = measure(dataclasses.replace(WORK, **settings))
    (early, _), (late, ten) = found["recall"]
    assert late > max(0.5, early)
    assert ten > late
    assert 0 < found["seconds"][0] < found["seconds"][1]
    assert list(found["parts"]) == list(PARTS)
    timed = WORK.checks[-1] - 1
    assert sum(found["parts"].values()) * timed / 1000 == pytest.approx(found["seconds"][1])
    assert found["peak_mib"] > 50


def test_judging_changes_nothing():
    often = measure(dataclasses.replace(WORK, head="log_uniform", checks=[5, 10, 20]))
    once = measure(dataclasses.replace(WORK, head="log_uniform", checks=[20]))
    assert often["recall"][-1] == once["recall"][-1]


def test_recall_is_the_share_of_own_labels_among_the_best():
    model = Model(WORK)
    x, label = Task(labels=27, noise=0.3).images(0, 700)
    found = recall(model, x, label)
    model.eval()
    with torch.no_grad():
        logits = model.head.logits(model.encoder(x))
    rank = (logits > logits.gather(1, label[:, None])).sum(dim=1)
    assert found == [(rank < k).double().mean().item() for k in (1, 10)]


def test_a_loss_that_is_no_number_is_an_error():
    with pytest.raises(ArithmeticError, match="loss nan in step"):
        measure(dataclasses.replace(WORK, lr=math.nan))


def test_rows(here, capsys):
    parts = list(head_learning.run(SIZE, 2, list(FEW)))
    assert [len({r.variant for r in rows}) for rows in parts] == [2, 2, 2]
    assert [rows[0].variant for rows in parts] == ["few, seed 0", "few, seed 1", "few"]
    assert [len(rows[0].values) for rows in parts] == [1, 1, 2]
    assert here[:3] == [
        ("full", 0, [60]),
        ("log_uniform", 0, [15, 30, 45, 60]),
        ("uniform", 0, [7, 15, 22, 30]),
    ]
    assert [seed for _, seed, _ in here] == [0, 0, 0, 1, 1, 1]
    for rows in parts:
        metrics = ["recall@1", "recall@10", "training", "training until within a point"]
        metrics += [f"a step's {part}" for part in PARTS] + ["peak memory"]
        assert [row.metric for row in rows] == 2 * metrics
        assert {row.baseline for row in rows} == {FULL}
        assert [row.higher_is_better for row in rows] == 2 * ([True] * 2 + [False] * 7)
        for row in rows:
            told = json.loads(json.dumps(row.to_dict()))
            assert told["baseline_value"] >= 0
            assert "27 labels, 60 steps of the full softmax" in told["size"]
    assert parts[2][0].values == [rows[0].values[0] for rows in parts[:2]]
    assert "30 of the other" in parts[2][-1].size
    assert capsys.readouterr().out.count(" % after ") == 2 * (1 + 2 * 4)


def test_one_seed_has_no_summary(here):
    (rows,) = head_learning.run(SIZE, 1, ["few"])
    assert {row.variant for row in rows} == {"few, seed 0"}


def test_when_a_head_is_as_good():
    full = {"recall": [[0.5, 0.9]], "seconds": [100.0]}

    def reached(*recalls):
        seconds = [1.0 + at for at in range(len(recalls))]
        return head_learning.reached({"recall": [[r] for r in recalls], "seconds": seconds}, full)

    assert reached(0.3, 0.495, 0.6) == 2.0
    assert reached(0.5, 0.48, 0.491) == 3.0
    assert math.isnan(reached(0.5, 0.489))
    assert math.isnan(reached(math.nan))


def test_what_does_not_fit_is_in_the_rows(here, monkeypatch, capsys):
    real = head_learning.answer

    def answer(module, settings, need_gib):
        if settings["head"] == "full":
            return child.Missing("killed, it needs 9.0 GiB")
        return real(module, settings, need_gib)

    monkeypatch.setattr(head_learning, "answer", answer)
    (rows,) = head_learning.run(SIZE, 1, ["few"])
    assert {row.baseline for row in rows} == {f"{FULL}: MISSING, killed, it needs 9.0 GiB"}
    assert all(math.isnan(row.baseline_values[0]) for row in rows)
    assert rows[0].values[0] > 0
    assert f"missing: {FULL}, seed 0 (killed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options", [["--labels", "8192"], ["--steps", "3"], ["--batch", "1"], ["--held-out", "0"]]
)
def test_too_little(options, capsys):
    assert main(["head-learning", *options]) == 1
    assert f"head-learning: {options[0]} {int(options[1]):,}" in capsys.readouterr().err


def test_memory_is_asked_for_before():
    size = dataclasses.replace(SIZE, labels=2**20, dim=64)
    full, ours = (head_learning._work(name, size, 0)[1] for name in (FULL, next(iter(WAYS))))
    assert full == 1.5 + head_learning.OTHER_GIB
    assert ours == 0.25 + head_learning.OTHER_GIB


def test_what_cannot_be_allocated_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(head_learning_worker, "first_to_go", lambda: None)
    head_learning_worker.main(json.dumps({**vars(WORK), "labels": 1 << 44}))
    assert json.loads(capsys.readouterr().out) == {"missing": "memory could not be allocated"}
    with pytest.raises(ConfigError):
        head_learning_worker.main(json.dumps({**vars(WORK), "scale": 0.0}))
