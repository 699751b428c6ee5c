"""One training run: from config to run folder."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from graphrise.config import RunConfig
from graphrise.graph.store import Graph
from graphrise.nn.bank import EmbeddingBank
from graphrise.nn.encoder import save_encoder
from graphrise.nn.heads import SampledSoftmax, save_table
from graphrise.train.bad_images import list_bad_images
from graphrise.train.data import TrainingData
from graphrise.train.folder import RunResult, peak_mib, prepare, versions, write_json
from graphrise.train.module import LOG_EVERY, GraphRise
from graphrise.train.progress import Budget, Display, Probe
from graphrise.train.quiet import quiet_lightning


def precision_of(config: RunConfig) -> str:
    """Lightning precision: bf16 autocast where the device has bf16 instructions, if `auto`."""
    if config.train.precision != "auto":
        return config.train.precision
    if config.train.accelerator in ("auto", "cuda", "gpu") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    if config.images.size < 32:
        # Deep layers see one pixel there. The bf16 weight gradient of a strided convolution over
        # one pixel reads memory that nobody wrote (torch 2.14.1, oneDNN).
        return "32-true"
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return "bf16-mixed" if supported else "32-true"


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
    versions): a folder with `run.json` is a finished run. Pictures that could not be read, where
    that is allowed, are in `bad_images.csv`; label vectors of a sampled head, in the order of the
    graph's vocabulary, in `labels/` (`nn.heads.open_table`).

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
    if config.train.threads is not None:
        torch.set_num_threads(config.train.threads)
    torch.manual_seed(config.train.seed)
    module = GraphRise(config, data.num_labels, data.num_labelled, labels=data.labels)
    module.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Only now: a run that cannot be built leaves no folder and removes none.
    prepare(run, config, dataset, overwrite=overwrite)
    module.bank = bank_of(config, graph.num_nodes, run)
    budget = Budget(run.name, display, probe)
    with quiet_lightning():
        trainer = _trainer(run, config, budget)
        try:
            _fit(trainer, module, data)
        finally:
            data.notes += list_bad_images(run, graph, data.reader, module.bad_images)
        _log_last_step(trainer, module)
        trainer.save_checkpoint(run / "checkpoint" / "last.ckpt")
    save_encoder(module.encoder, config.encoder, config.images, run)
    if isinstance(module.head, SampledSoftmax):
        save_table(module.head.table, run / "labels")
    result = RunResult(module.passes, budget.seconds, peak_mib(), budget.curve, data.notes)
    write_json(run / "run.json", {**result.__dict__, "versions": versions()})
    return result


def bank_of(config: RunConfig, num_nodes: int, run: Path) -> EmbeddingBank | None:
    """The table of past embeddings, if the edge term takes neighbours from one.

    Args:
        config: The run.
        num_nodes: N of the graph.
        run: Folder of its file, where it has one.
    """
    if not config.edges.used or config.edges.embeddings != "bank":
        return None
    settings = config.edges.bank
    return EmbeddingBank(
        num_nodes,
        config.encoder.dim,
        dtype=getattr(torch, settings.dtype),
        file=run / "bank.npy" if settings.mapped else None,
    )


def _trainer(run: Path, config: RunConfig, budget: Budget) -> lightning.Trainer:
    checkpoint = ModelCheckpoint(
        dirpath=run / "checkpoint",
        filename="last",
        enable_version_counter=False,
        train_time_interval=timedelta(minutes=config.train.checkpoint_minutes),
    )
    return lightning.Trainer(
        accelerator=config.train.accelerator,
        devices=1,
        precision=precision_of(config),  # type: ignore[arg-type]
        max_epochs=-1,
        logger=CSVLogger(run, name="", version=""),
        log_every_n_steps=LOG_EVERY,
        callbacks=[budget, checkpoint],
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _log_last_step(trainer: lightning.Trainer, module: GraphRise) -> None:
    """The last step's row: a run shorter than LOG_EVERY steps has no other."""
    logger = trainer.logger
    if logger is None or trainer.global_step % LOG_EVERY == 0:
        return
    last = {"passes": float(module.passes)}
    last |= {name: float(value) for name, value in module.latest.items()}
    logger.log_metrics(last, trainer.global_step - 1)
    logger.save()


def _fit(trainer: lightning.Trainer, module: GraphRise, data: TrainingData) -> None:
    """Fit; Ctrl-C stays a KeyboardInterrupt, which Lightning turns into an exit with code 1."""
    try:
        trainer.fit(module, train_dataloaders=data.train_dataloader(), weights_only=True)
    except SystemExit as error:
        if trainer.interrupted:
            raise KeyboardInterrupt from error
        raise
