"""Case `rate`: images a second of whole runs, against a bare loop over the same encoder.

A run is `train` with all that belongs to it: pictures read, neighbours drawn from the graph,
augmentation, label head, edge term, log, checkpoints, from the first step to the last. The bare
loop (`rate_bare`) takes normalised batches of the same size that lie in memory through the same
encoder and a linear layer: forward, backward, AdamW, and nothing else.

It runs twice, each time in a process of its own: with the allocator as it comes, as the loop that
anyone writes, and with memory kept as `train` keeps it, which tells what all the rest costs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.child import Missing, answer
from benchmarks.rows import Row
from graphrise.config import EdgeConfig, RunConfig, to_dict
from graphrise.demo.drive import prepare_data
from graphrise.errors import GraphriseError
from graphrise.graph.store import Graph, open_graph
from graphrise.recipes import RECIPES
from graphrise.train.folder import RunResult, forget_peak, peak_mib
from graphrise.train.run import train

BARE, KEPT = "bare loop", "bare loop, memory kept"
PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}
ENCODERS = {"test_resnet": 48, "resnet18": 64}
"""timm's name and the image side."""
_WARM = 1_000
_NEED_GIB = 4.0


def run(out: Path, only: Sequence[str], passes: int, repetitions: int) -> list[Row]:
    """Train and time.

    Args:
        out: Working folder, kept.
        only: Encoders.
        passes: Encoder passes of a run of the small encoder; of others a tenth.
        repetitions: Runs of each kind, in turn.
    """
    dataset = prepare_data(out, "emoji", fast=False, labelled={"part"})["part"]
    graph = open_graph(dataset / "graph")
    rows: list[Row] = []
    for name in only:
        few = passes if name == "test_resnet" else passes // 10
        rows += _rates(out, dataset, graph, _config(name, few), repetitions)
    return rows


def _config(name: str, passes: int) -> RunConfig:
    recipe, change = RECIPES["emoji"](), dataclasses.replace
    return change(
        recipe,
        edges=EdgeConfig(alpha=1.0),
        images=change(recipe.images, size=ENCODERS[name]),
        encoder=change(recipe.encoder, name=name),
        train=change(recipe.train, passes=passes, accelerator="cpu"),
    )


def _rates(
    out: Path, dataset: Path, graph: Graph, config: RunConfig, repetitions: int
) -> list[Row]:
    found: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    torch.set_num_threads(config.train.threads or torch.get_num_threads())
    _trained(out, dataset, graph, _with(config, passes=_WARM))  # imports and compilation of kernels
    for turn in range(repetitions):
        for kind, precision in PRECISIONS.items():
            of = _with(config, precision=precision)
            forget_peak()
            result = _trained(out, dataset, graph, of)
            ways = {f"train, {kind}": (result.passes / result.seconds, peak_mib())}
            for bare in (BARE, KEPT) if turn % 2 == 0 else (KEPT, BARE):
                ways[f"{bare}, {kind}"] = _bare(dataset, of, bare == KEPT, result.seconds)
            for way, (rate, peak) in ways.items():
                found.setdefault(way, []).append(rate)
                peaks[way] = max(peak, peaks.get(way, 0.0))
    common: dict[str, Any] = {
        "case": "rate",
        "metric": "training throughput",
        "unit": "images/s",
        "size": f"emoji, {config.images.size} px, 64 labelled images a batch and a neighbour each, "
        f"{config.train.passes:,} passes a run, 1 thread",
    }
    return [
        Row(
            variant=f"{config.encoder.name}: {way}",
            values=values,
            baseline=against,
            baseline_values=found[against],
            peak_mib=peaks[way],
            **common,
        )
        for way, values in found.items()
        for against in _floors(way)
    ]


def _with(config: RunConfig, **changes: Any) -> RunConfig:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))


def _trained(out: Path, dataset: Path, graph: Graph, config: RunConfig) -> RunResult:
    return train(dataset, graph, out / "rate", config, display=_silent, overwrite=True)


def _silent(fraction: float, state: str) -> None:
    """A display that shows nothing."""


def _bare(dataset: Path, config: RunConfig, keep: bool, seconds: float) -> tuple[float, float]:
    """Images a second and peak memory of the bare loop."""
    settings = {
        "dataset": str(dataset),
        "config": to_dict(config),
        "keep": keep,
        "seconds": seconds,
    }
    found = answer("benchmarks.rate_bare", settings, _NEED_GIB)
    if isinstance(found, Missing):
        raise GraphriseError(f"rate: the bare loop did not run: {found.why}")
    return found["rate"], found["peak_mib"]


def _floors(way: str) -> list[str]:
    """What a way is held against: both bare loops of its precision, and float32's."""
    kind = way.rsplit(", ", 1)[1]
    floors = [f"{BARE}, {kind}", f"{KEPT}, {kind}", f"{BARE}, float32"]
    return list(dict.fromkeys(floors[:1] if way.startswith(BARE) else floors))
