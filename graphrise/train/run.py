"""One training run: from config to run folder."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from graphrise.config import RunConfig, from_dict, to_dict
from graphrise.data.files import whole_file
from graphrise.errors import ConfigError, DataError
from graphrise.graph.store import Graph
from graphrise.nn.encoder import save_encoder
from graphrise.train.data import TrainingData
from graphrise.train.module import GraphRise
from graphrise.train.progress import Budget, Display, Probe
from graphrise.train.quiet import quiet_lightning

PACKAGES = ("graphrise", "torch", "torch-geometric", "timm", "lightning", "numpy")


@dataclass(frozen=True)
class RunResult:
    """What a run cost and how it went.

    Attributes:
        passes: Images encoded for training.
        seconds: Training time, probes excluded.
        curve: Entries over the budget (see `Budget`).
        notes: What a user should know.
    """

    passes: int
    seconds: float
    curve: list[dict[str, float]]
    notes: list[str]


def precision_of(config: RunConfig) -> str:
    """Lightning precision: bf16 autocast where the device has bf16 instructions, if `auto`."""
    if config.train.precision != "auto":
        return config.train.precision
    if config.train.accelerator in ("auto", "cuda", "gpu") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return "bf16-mixed" if supported else "32-true"


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def write_json(path: Path, value: Any) -> None:
    """JSON file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def train(
    dataset: Path,
    graph: Graph,
    run: Path,
    config: RunConfig,
    *,
    display: Display,
    probe: Probe | None = None,
    overwrite: bool = False,
) -> RunResult:
    """Train and fill the run folder.

    The folder gets `config.yaml` (every setting), `metrics.csv`, `checkpoint/last.ckpt`,
    `encoder.safetensors` with `encoder.json`, and, last, `run.json` (passes, seconds, curve,
    versions): a folder with `run.json` is a finished run.

    Args:
        dataset: Dataset folder.
        graph: The graph built from it.
        run: Folder to fill.
        config: The run.
        display: Gets progress; `progress.bars` makes one for a terminal.
        probe: Called with the encoder ten times over the budget; its numbers join the curve.
        overwrite: Remove an earlier run of that name first.

    Raises:
        DataError: `run` exists, or data and graph do not fit.
    """
    data = TrainingData(dataset, graph, config)
    prepare(run, config, dataset, overwrite=overwrite)
    if config.train.threads is not None:
        torch.set_num_threads(config.train.threads)
    torch.manual_seed(config.train.seed)
    module = GraphRise(config, data.num_labels, data.num_labelled)
    module.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    budget = Budget(run.name, display, probe)
    checkpoint = ModelCheckpoint(dirpath=run / "checkpoint", save_last=True, save_top_k=0)
    with quiet_lightning():
        trainer = lightning.Trainer(
            accelerator=config.train.accelerator,
            devices=1,
            precision=precision_of(config),  # type: ignore[arg-type]
            max_epochs=-1,
            logger=CSVLogger(run, name="", version=""),
            log_every_n_steps=10,
            callbacks=[budget, checkpoint],
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, train_dataloaders=data.train_dataloader(), weights_only=True)
        trainer.save_checkpoint(run / "checkpoint" / "last.ckpt")
    save_encoder(module.encoder, config.encoder, config.images.size, run)
    result = RunResult(module.passes, budget.seconds, budget.curve, data.notes)
    write_json(run / "run.json", {**result.__dict__, "versions": versions()})
    return result


def prepare(run: Path, config: RunConfig, dataset: Path, *, overwrite: bool) -> None:
    """Make the run folder and write its config.

    Raises:
        DataError: The folder holds something and `overwrite` is false, or it is not a run folder.
    """
    if run.exists() and not run.is_dir():
        raise DataError(f"{run}: is a file, a run folder is to be written there")
    if run.is_dir() and any(run.iterdir()):
        if not overwrite:
            raise DataError(f"{run}: exists already; give --overwrite to replace it")
        if not _is_run(run):
            raise DataError(f"{run}: is not a run folder, so it is not overwritten; choose another")
        shutil.rmtree(run)
    run.mkdir(parents=True, exist_ok=True)
    values = {"dataset": str(dataset.resolve()), "run": to_dict(config)}
    with whole_file(run / "config.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _is_run(folder: Path) -> bool:
    """Whether the folder's config.yaml is one of ours: the name alone is a common one."""
    try:
        values = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(values, dict) and set(values) == {"dataset", "run"}


def read_run(run: Path) -> tuple[RunConfig, Path, RunResult]:
    """Config, dataset folder and result of a finished run folder.

    Raises:
        DataError: Not a run folder, or its training did not finish.
    """
    if not (run / "config.yaml").is_file():
        raise DataError(f"{run}: not a run folder (no config.yaml)")
    if not (run / "run.json").is_file():
        raise DataError(f"{run}: its training did not finish (no run.json)")
    try:
        values = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        config = from_dict(RunConfig, values["run"])
        found = json.loads((run / "run.json").read_text(encoding="utf-8"))
        result = RunResult(**{k: found[k] for k in ("passes", "seconds", "curve", "notes")})
    except (yaml.YAMLError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise DataError(f"{run}: config.yaml or run.json is damaged: {error}") from error
    return config, Path(values["dataset"]), result
