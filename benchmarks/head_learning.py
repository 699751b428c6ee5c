"""Case `head-learning`: what sampled heads learn of a million labels, and how soon, against all.

The task is made (`benchmarks.head_task`). Every way trains the same encoder on the same images in a
process of its own, and is judged on held-out images against all labels. Time is that of training
steps: encoder, head and update. Settings were chosen on seed 100 of the task.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from benchmarks.child import Missing, answer
from benchmarks.head_learning_worker import AT, PARTS, Work
from benchmarks.rows import Row
from graphrise.errors import ConfigError

FULL = "full softmax"
WITHIN = 0.01
"""Of recall at 1: what a sampled head may lack of the full softmax's."""
CHECKS = 4
"""Times that a sampled head is judged, evenly over its steps."""
OTHER_GIB = 1.5
"""What a process takes beside tables, most of it to judge."""
_FULL_TABLES = 6
"""Weights, a normalised copy, the gradients of both and two moments; ours has weights alone."""

Found = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """What is run.

    Attributes:
        labels: C.
        steps: Of the full softmax; every way's are a share of them.
        batch: Images a step.
        dim: D.
        held_out: Images that are judged on.
        noise: Of the task.
    """

    labels: int
    steps: int
    batch: int
    dim: int
    held_out: int
    noise: float

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ConfigError: A number is too small.
        """
        for name, value, least in (
            ("steps", self.steps, 2 * CHECKS),
            ("batch", self.batch, 2),
            ("held-out", self.held_out, 1),
        ):
            if value < least:
                raise ConfigError(f"head-learning: --{name} {value}; give at least {least}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Way:
    """A head and its settings.

    Attributes:
        head: As `Work.head`.
        label_lr: Peak rate of the labels' rows.
        optimizer: Of the rows; the full softmax has AdamW.
        negatives: Labels drawn a step.
        share: Of the full softmax's steps, after which training ends.
        scale: Of the logits.
        decay: Weight decay of the labels' rows.
    """

    head: str
    label_lr: float
    optimizer: str = "adagrad"
    negatives: int = 0
    share: float = 1.0
    scale: float = 24.0
    decay: float = 0.0


ALL = Way(head="full", label_lr=0.8, decay=0.05)
"""The full softmax."""
RMSPROP = Way(head="log_uniform", label_lr=0.1, optimizer="rmsprop", negatives=2048, decay=0.05)
WAYS = {
    "log-uniform, 8192 negatives": Way(head="log_uniform", label_lr=0.8, negatives=8192),
    "log-uniform, 2048 negatives": Way(head="log_uniform", label_lr=0.8, negatives=2048),
    "log-uniform, 2048 negatives, RMSprop": RMSPROP,
    "log-uniform, 2048 negatives, RMSprop, half the steps": dataclasses.replace(RMSPROP, share=0.5),
    "log-uniform, 8192 negatives, RMSprop": dataclasses.replace(RMSPROP, negatives=8192),
    "uniform, 8192 negatives": Way(head="uniform", label_lr=0.8, negatives=8192),
    "in-batch and log-uniform, 8192 negatives": Way(head="mixed", label_lr=0.8, negatives=8192),
}
"""Sampled heads, with row-wise Adagrad where nothing is said."""
CLAIMED = tuple(WAYS)[:3]
"""What is run without being asked for."""
LR = 2e-3
"""Peak rate of the encoder."""


def run(size: Size, seeds: int, only: Sequence[str]) -> Iterator[list[Row]]:
    """Train all ways, seed by seed; the rows of a seed when it is done, and at last those of all.

    Args:
        size: What is run.
        seeds: Seeds of the task, the weights and the draws.
        only: Names of sampled heads, at least one.

    Raises:
        ConfigError: There are fewer labels than a step draws.
    """
    most = max(WAYS[name].negatives for name in only)
    if size.labels <= most:
        raise ConfigError(
            f"head-learning: --labels {size.labels:,}; there must be more than the {most:,} that "
            "are drawn a step"
        )
    found: dict[str, list[Found]] = {name: [] for name in (FULL, *only)}
    for seed in range(seeds):
        for name in found:
            found[name].append(_trained(name, size, seed))
        yield _rows({name: each[-1:] for name, each in found.items()}, size, f", seed {seed}")
    if seeds > 1:
        yield _rows(found, size, "")


def reached(one: Found, full: Found) -> float:
    """Seconds until it has the full softmax's recall at 1 but a point, and keeps it; NaN: never."""
    enough, since = full["recall"][-1][0] - WITHIN, math.nan
    for recall, seconds in zip(reversed(one["recall"]), reversed(one["seconds"]), strict=True):
        if not recall[0] >= enough:
            break
        since = seconds
    return since


def _trained(name: str, size: Size, seed: int) -> Found:
    """What the process of a way says; NaN of one that the machine cannot hold."""
    work, need = _work(name, size, seed)
    said = answer("benchmarks.head_learning_worker", dataclasses.asdict(work), need)
    if isinstance(said, Missing):
        print(f"missing: {name}, seed {seed} ({said.why})", flush=True)
        parts = dict.fromkeys(PARTS, math.nan)
        nothing = {"recall": [[math.nan] * len(AT)], "seconds": [math.nan], "peak_mib": math.nan}
        return {**nothing, "parts": parts, "missing": said.why}
    checks = zip(said["recall"], said["seconds"], strict=True)
    told = ", ".join(f"{100 * recall[0]:.1f} % after {s:.1f} s" for recall, s in checks)
    print(f"{name}, seed {seed}: recall@1 {told}", flush=True)
    return said


def _work(name: str, size: Size, seed: int) -> tuple[Work, float]:
    """What a process does, and the GiB that it takes."""
    way = WAYS.get(name, ALL)
    steps = round(way.share * size.steps)
    checks = [steps * at // CHECKS for at in range(1, CHECKS + 1)]
    settings = {k: v for k, v in dataclasses.asdict(way).items() if k != "share"}
    sizes = {k: v for k, v in dataclasses.asdict(size).items() if k != "steps"}
    work = Work(**settings, **sizes, seed=seed, checks=[steps] if way is ALL else checks, lr=LR)
    tables = _FULL_TABLES if way is ALL else 1
    return work, tables * 4 * size.dim * size.labels / 2**30 + OTHER_GIB


def _rows(found: dict[str, list[Found]], size: Size, suffix: str) -> list[Row]:
    """Every sampled head against the full softmax."""
    full = found[FULL]
    return [
        Row(
            case="head-learning",
            variant=_named(name + suffix, found[name]),
            metric=metric,
            values=ours,
            unit=unit,
            baseline=_named(FULL, full),
            baseline_values=theirs,
            higher_is_better=unit == "%",
            peak_mib=max(one["peak_mib"] for one in found[name]),
            size=_sized(size, WAYS[name]),
        )
        for name in found
        if name != FULL
        for metric, unit, ours, theirs in _figures(found[name], full)
    ]


def _figures(
    ours: list[Found], full: list[Found]
) -> Iterator[tuple[str, str, list[float], list[float]]]:
    """Metric, unit, and the values of both by seed."""
    both = (ours, full)
    for at, k in enumerate(AT):
        one, other = ([100 * x["recall"][-1][at] for x in each] for each in both)
        yield f"recall@{k}", "%", one, other
    one, other = ([x["seconds"][-1] for x in each] for each in both)
    yield "training", "s", one, other
    yield "training until within a point", "s", [*map(reached, ours, full)], other
    for part in PARTS:
        one, other = ([x["parts"][part] for x in each] for each in both)
        yield f"a step's {part}", "ms", one, other
    one, other = ([x["peak_mib"] for x in each] for each in both)
    yield "peak memory", "MiB", one, other


def _named(name: str, found: list[Found]) -> str:
    """A name, and that and why its figures are missing if they all are."""
    why = [one["missing"] for one in found if "missing" in one]
    return f"{name}: MISSING, {why[0]}" if len(why) == len(found) else name


def _sized(size: Size, way: Way) -> str:
    return (
        f"{size.labels:,} labels, {size.steps} steps of the full softmax, "
        f"{round(way.share * size.steps)} of the other, batch {size.batch}, D {size.dim}, "
        f"scale {way.scale:g}, label lr {way.label_lr:g} and {ALL.label_lr:g} (full softmax), "
        f"{size.held_out:,} held-out images, {torch.get_num_threads()} threads"
    )
