"""Case `ranks`: images a second of a run by the processes that share it, on one machine.

Started by the command line as a user does, each process on one thread; time is that of training,
without the start. More processes than cores show what the talk between them costs.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from benchmarks.rows import Row
from graphrise.config import EdgeConfig, RunConfig, to_dict
from graphrise.demo.drive import prepare_data
from graphrise.errors import GraphriseError
from graphrise.recipes import RECIPES
from graphrise.train.folder import read_run

BATCH = 64
"""Labelled images of a step, of all processes together."""


def run(out: Path, ranks: Sequence[int], passes: int, repetitions: int) -> list[Row]:
    """Train with each number of processes, in turn.

    Args:
        out: Working folder, kept.
        ranks: Numbers of processes; the first is what the others are held against.
        passes: Encoder passes of a run.
        repetitions: Runs of each.

    Raises:
        GraphriseError: A run failed.
    """
    dataset = prepare_data(out, "emoji", fast=False, labelled={"part"})["part"]
    found: dict[int, list[float]] = {count: [] for count in ranks}
    peaks: dict[int, float] = dict.fromkeys(ranks, 0.0)
    for _ in range(repetitions):
        for count in ranks:
            result = read_run(_trained(out, dataset, count, passes))[2]
            found[count].append(result.passes / result.seconds)
            peaks[count] = max(peaks[count], result.peak_mib)
    return [
        Row(
            case="ranks",
            variant=f"{count} processes of one thread",
            metric="training throughput",
            values=values,
            unit="images/s",
            baseline=f"{ranks[0]} processes of one thread",
            baseline_values=found[ranks[0]],
            peak_mib=peaks[count],
            size=f"emoji, 48 px, demo CNN, sampled head, {BATCH} labelled images a step and a "
            f"neighbour each, {passes:,} passes; peak of the first process",
        )
        for count, values in found.items()
    ]


def _trained(out: Path, dataset: Path, ranks: int, passes: int) -> Path:
    """The run folder of a new run."""
    folder, settings = out / f"ranks-{ranks}", out / f"ranks-{ranks}.yaml"
    settings.write_text(yaml.safe_dump(to_dict(config_of(ranks, passes))), encoding="utf-8")
    command = ["-m", "graphrise", "train", str(dataset), str(folder), f"--config={settings}"]
    done = subprocess.run(
        [sys.executable, *command, "--overwrite"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise GraphriseError(f"ranks: {ranks} processes failed: {done.stderr[-2000:]}")
    return folder


def config_of(ranks: int, passes: int) -> RunConfig:
    """The run: the demo's, with an edge term and label vectors that are dealt out."""
    recipe, change = RECIPES["emoji"](), dataclasses.replace
    return change(
        recipe,
        edges=EdgeConfig(alpha=1.0),
        head=change(recipe.head, kind="sampled", num_negatives=512),
        train=change(
            recipe.train,
            passes=passes,
            batch_size=BATCH // ranks,
            devices=ranks,
            accelerator="cpu",
        ),
    )
