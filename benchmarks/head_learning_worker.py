"""Part of case `head-learning`: a label head trained on the made task, in this process.

`python -m benchmarks.head_learning_worker SETTINGS` prints recall and seconds at every check, and
peak memory, as JSON.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.child import first_to_go, own_peak_mib
from benchmarks.head_task import Task
from benchmarks.head_worker import report
from graphrise.config import TrainConfig
from graphrise.nn.heads import (
    FullSoftmax,
    InBatch,
    LabelTable,
    LogitRule,
    LogUniform,
    Mixed,
    SampledSoftmax,
    Uniform,
)
from graphrise.nn.heads.negatives import Negatives
from graphrise.nn.mlp import MLP
from graphrise.nn.rowwise import RowwiseAdagrad, RowwiseRMSprop, Together
from graphrise.train.schedule import rate

HIDDEN, LAYERS = 256, 2
"""The encoder: an MLP of so many blocks, and a projection."""
AT = (1, 10)
"""k of the recalls."""
PARTS = ("encoder", "head", "backward", "update")
"""Of a step's time."""
_CHUNK = 512
"""Held-out images that are judged at a time."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one process does.

    Attributes:
        head: "full", or the law that labels are sampled by: "log_uniform", "uniform", "mixed".
        labels: C.
        seed: Of the task, the weights and the draws.
        checks: Steps after which recall is taken, rising; the last ends training.
        batch: Images a step.
        dim: Of the embedding.
        scale: Of the logits.
        lr: Peak rate of the encoder, which AdamW trains.
        label_lr: Peak rate of the labels' rows, which AdamW trains too under the full softmax.
        decay: Weight decay of the labels' rows.
        optimizer: Of sampled rows: "adagrad" or "rmsprop".
        negatives: Labels drawn a step.
        held_out: Images that are judged on.
        noise: Of the task.
    """

    head: str
    labels: int
    seed: int
    checks: list[int]
    batch: int
    dim: int
    scale: float
    lr: float
    label_lr: float
    decay: float
    optimizer: str
    negatives: int
    held_out: int
    noise: float


class Model(nn.Module):
    """An encoder and a label head."""

    def __init__(self, work: Work) -> None:
        """Make both."""
        super().__init__()
        features = Task(labels=work.labels).features
        self.encoder = nn.Sequential(
            MLP(features, HIDDEN, LAYERS, dropout=0.0), nn.Linear(HIDDEN, work.dim)
        )
        rule = LogitRule(scale=work.scale)
        self.head: FullSoftmax | SampledSoftmax
        if work.head == "full":
            self.head = FullSoftmax(work.dim, work.labels, rule=rule, smoothing=0.0)
        else:
            table = LabelTable(work.labels, work.dim, seed=work.seed)
            self.head = SampledSoftmax(table, _negatives(work), rule=rule)


def measure(work: Work) -> dict[str, Any]:
    """Train and judge.

    Returns:
        "recall" (by check, the shares at every k of `AT`), "seconds" (of the steps until each
        check but the first, which compiles), "parts" (milliseconds of a step, by part) and
        "peak_mib" of training.
    """
    torch.manual_seed(work.seed)
    task = Task(labels=work.labels, noise=work.noise, seed=work.seed)
    model = Model(work)
    optimizer = _optimizer(model, work)
    steps, schedule = work.checks[-1], TrainConfig()
    scheduler = LambdaLR(optimizer, lambda step: rate(schedule, step / steps))
    spent, recalls, seconds, peak = np.zeros(len(PARTS)), [], [], 0.0
    for step, (x, label) in enumerate(_batches(task, steps, work.batch), start=1):
        took = _step(model, optimizer, x, label, step)
        spent += took if step > 1 else 0
        scheduler.step()
        if step in work.checks:
            # Before the first judgement: that takes memory which training does not.
            peak = peak or own_peak_mib()
            seconds.append(float(spent.sum()))
            recalls.append(recall(model, *task.images(0, work.held_out, held_out=True)))
    parts = dict(zip(PARTS, (1000 * spent / (steps - 1)).tolist(), strict=True))
    return {"recall": recalls, "seconds": seconds, "parts": parts, "peak_mib": peak}


def recall(model: Model, x: Tensor, label: Tensor) -> list[float]:
    """Shares of the images whose label is among the best k of all labels, for every k of `AT`."""
    model.eval()
    found = []
    with torch.no_grad():
        for part, own in zip(x.split(_CHUNK), label.split(_CHUNK), strict=True):
            best = model.head.top_labels(model.encoder(part), max(AT))[1]
            found.append(best == own[:, None])
    model.train()
    hits = torch.cat(found)
    return [hits[:, :k].any(dim=1).double().mean().item() for k in AT]


def _batches(task: Task, steps: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of images, none of which comes twice; made a hundred at a time."""
    for first in range(0, steps, 100):
        count = min(100, steps - first)
        x, label = task.images(first * batch, count * batch)
        yield from zip(x.split(batch), label.split(batch), strict=True)


def _step(model: Model, optimizer: Optimizer, x: Tensor, label: Tensor, step: int) -> np.ndarray:
    """Train on a batch; seconds by part."""
    times = [time.perf_counter()]
    z = model.encoder(x)
    times.append(time.perf_counter())
    loss = model.head(z, torch.arange(len(x)), label, torch.ones(len(x)))
    value = loss.item()
    times.append(time.perf_counter())
    if not math.isfinite(value):
        raise ArithmeticError(f"loss {value} in step {step}")
    loss.backward()
    times.append(time.perf_counter())
    optimizer.step()
    optimizer.zero_grad()
    times.append(time.perf_counter())
    return np.diff(times)


def _negatives(work: Work) -> Negatives:
    if work.head == "uniform":
        return Uniform(work.labels, work.negatives, seed=work.seed)
    drawn = LogUniform(work.labels, work.negatives, seed=work.seed)
    if work.head == "log_uniform":
        return drawn
    # As often as the task has them.
    frequency = torch.log1p(1 / torch.arange(1, work.labels + 1, dtype=torch.float64))
    return Mixed(InBatch(frequency), drawn)


def _optimizer(model: Model, work: Work) -> Optimizer:
    encoder = {"params": list(model.encoder.parameters()), "lr": work.lr}
    if isinstance(model.head, FullSoftmax):
        rows = {"params": [model.head.weight], "lr": work.label_lr, "weight_decay": work.decay}
        return AdamW([encoder, rows], fused=True)
    kind = RowwiseAdagrad if work.optimizer == "adagrad" else RowwiseRMSprop
    rows = kind([model.head.table], lr=work.label_lr, weight_decay=work.decay, seed=work.seed)
    return Together(AdamW([encoder], fused=True), rows)


def main(settings: str) -> None:
    """Train, judge and print."""
    first_to_go()
    report(lambda: measure(Work(**json.loads(settings))))


if __name__ == "__main__":
    main(sys.argv[1])
