"""Case `resume`: runs killed at random moments go on and end as if nothing had happened.

A run with all that has a state: dropout, spread labels, an edge term over a mapped bank, sampled
label vectors, loader workers. It is trained once undisturbed; then again and again, by the command
line, killed with SIGKILL at a random moment, from the first import to the last file, and resumed.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

from benchmarks.rows import Row
from graphrise.config import GraphConfig, RunConfig, to_dict
from graphrise.config.edges import BankConfig
from graphrise.data.digits import write_digits
from graphrise.errors import GraphriseError
from graphrise.graph.build import build_graph
from graphrise.nn.heads import load_table
from graphrise.recipes import digits
from graphrise.train.checkpoints import latest

TARGETS = ("the run", "the run and its workers", "a loader worker")
"""What is killed, in turn."""


def run(out: Path, kills: int, passes: int) -> list[Row]:
    """Kill and resume.

    Args:
        out: Working folder.
        kills: Runs that are killed.
        passes: Encoder passes of a run.

    Raises:
        GraphriseError: A run did not end, killed or not.
    """
    dataset = out / "digits"
    if not (dataset / "images.parquet").is_file():
        write_digits(dataset)
    build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)
    settings = out / "resume.yaml"
    # jsonargparse takes the same names from a file as from options.
    settings.write_text(yaml.safe_dump(to_dict(_config(passes))), encoding="utf-8")
    whole = out / "resume" / "whole"
    shutil.rmtree(whole.parent, ignore_errors=True)
    start = time.perf_counter()
    _finish(_start(dataset, whole, settings))
    seconds = time.perf_counter() - start
    moments, same, kept, times = random.Random(0), [], [], []
    for number in range(kills):
        folder, after = whole.with_name(str(number)), moments.uniform(0, seconds)
        target = TARGETS[number % len(TARGETS)]
        kept.append(_killed(_start(dataset, folder, settings), folder, after, target))
        start = time.perf_counter()
        again = _resume(folder) if (folder / "config.yaml").is_file() else None
        _finish(again or _start(dataset, folder, settings))
        times.append(time.perf_counter() - start)
        same.append(float(state_of(folder) == state_of(whole)))
        print(f"{target} killed after {after:.1f} s at step {kept[-1]}: same {same[-1]:.0f}")
        shutil.rmtree(folder)
    size = f"digits, {passes:,} passes, {seconds:.0f} s a run with its start, {kills} kills"
    return _rows(size, same, kept, times, _step(whole), seconds)


def _rows(
    size: str,
    same: list[float],
    kept: list[int],
    times: list[float],
    steps: int,
    seconds: float,
) -> list[Row]:
    common: dict[str, Any] = {"case": "resume", "variant": "killed and resumed", "size": size}
    return [
        Row(
            metric="runs equal bit for bit",
            values=[sum(same)],
            unit="runs",
            baseline="kills",
            baseline_values=[len(same)],
            **common,
        ),
        Row(
            metric="last checkpoint before the kill",
            values=kept,
            unit="steps",
            baseline="the last of a whole run",
            baseline_values=[steps],
            **common,
        ),
        Row(
            metric="resumed run, with its start",
            values=times,
            unit="s",
            baseline="a whole run",
            baseline_values=[seconds],
            higher_is_better=False,
            **common,
        ),
    ]


def _config(passes: int) -> RunConfig:
    recipe = digits()
    change = dataclasses.replace
    bank = BankConfig(mapped=True)
    return change(
        recipe,
        labels=change(recipe.labels, spread=True),
        edges=change(recipe.edges, embeddings="bank", bank=bank),
        images=change(recipe.images, workers=2),
        encoder=change(recipe.encoder, kwargs={"drop_rate": 0.2}),
        head=change(recipe.head, kind="sampled", num_negatives=4),
        train=change(recipe.train, passes=passes, accelerator="cpu"),
        checkpoint=change(recipe.checkpoint, steps=5),
    )


def _start(dataset: Path, folder: Path, settings: Path) -> subprocess.Popen[str]:
    return _popen([str(dataset), str(folder), "--recipe=digits", f"--config={settings}"])


def _resume(folder: Path) -> subprocess.Popen[str]:
    return _popen([f"--resume={folder}"])


def _popen(arguments: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "graphrise", "train", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _finish(process: subprocess.Popen[str]) -> None:
    errors = process.communicate()[1]
    if process.returncode:
        raise GraphriseError(f"resume: a run ended with {process.returncode}: {errors[-2000:]}")


def _killed(process: subprocess.Popen[str], folder: Path, after: float, target: str) -> int:
    """Kill it after so many seconds; the step of its last checkpoint."""
    time.sleep(after)
    workers = _children(process.pid)
    if target == TARGETS[2] and workers:
        os.kill(workers[0], signal.SIGKILL)
    elif target == TARGETS[1]:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()
    return _step(folder)


def _step(folder: Path) -> int:
    """Step of a run's last checkpoint; 0 if there is none."""
    last = latest(folder)
    return int(last.name.split("-")[-1]) if last else 0


def _children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in found.read_text().split()] if found.is_file() else []


def state_of(folder: Path) -> dict[str, bytes]:
    """All that training made, as bytes: encoder, head, optimisers, bank, label vectors."""
    saved = torch.load(folder / "checkpoint" / "last.ckpt", weights_only=True)
    found = {**saved["state_dict"], **load_file(folder / "encoder.safetensors")}
    _collect(saved["optimizer_states"], "optimizer", found)
    table = load_table(folder / "labels")
    found |= {"label vectors": table.weight, "label sums": table.state}
    return {
        **{name: value.numpy().tobytes() for name, value in found.items()},
        "bank": (folder / "bank.npy").read_bytes(),
    }


def _collect(value: Any, name: str, found: dict[str, torch.Tensor]) -> None:
    """Every tensor of nested dicts and lists, by its path."""
    if isinstance(value, torch.Tensor):
        found[name] = value
    elif isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in items:
            _collect(one, f"{name}.{key}", found)
