"""Lightning's trainer, as a run's settings want it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.profilers import Profiler

from graphrise.config import RunConfig
from graphrise.errors import ConfigError
from graphrise.train.loggers import run_loggers
from graphrise.train.ranks import devices_of


def precision_of(config: RunConfig) -> str:
    """Lightning precision: bf16 autocast where the device has bf16 instructions, if `auto`.

    Raises:
        ConfigError: 16-mixed on a CPU, where Lightning would take bf16 instead.
    """
    cuda = config.train.accelerator in ("auto", "cuda", "gpu") and torch.cuda.is_available()
    if config.train.precision == "16-mixed" and not cuda and config.train.accelerator != "mps":
        raise ConfigError(
            "train.precision=16-mixed needs a GPU; set bf16-mixed or 32-true, or auto to choose"
        )
    if config.train.precision != "auto":
        return config.train.precision
    if cuda:
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    if config.images.size < 32:
        # Deep layers see one pixel there. The bf16 weight gradient of a strided convolution over
        # one pixel reads memory that nobody wrote (torch 2.14.1, oneDNN).
        return "32-true"
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return "bf16-mixed" if supported else "32-true"


def trainer_of(
    run: Path, config: RunConfig, callbacks: Sequence[Callback], profiler: Profiler | None = None
) -> lightning.Trainer:
    """The trainer of a run; nothing is written before it fits.

    Args:
        run: Folder of its logs.
        config: The run.
        callbacks: In the order that they are called in; checkpoints come last anyway.
        profiler: `watch.Watch.clock`.
    """
    devices, nodes = devices_of(config.train)
    return lightning.Trainer(
        accelerator=config.train.accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy="auto" if devices * nodes == 1 else "ddp",
        # The loader gives every rank its part.
        use_distributed_sampler=False,
        sync_batchnorm=config.train.sync_batchnorm,
        precision=precision_of(config),  # type: ignore[arg-type]
        accumulate_grad_batches=config.train.accumulate,
        max_epochs=-1,
        # After a refresh of the labels an epoch has another number of batches.
        reload_dataloaders_every_n_epochs=int(config.labels.spread_refresh is not None),
        logger=run_loggers(run, config),
        log_every_n_steps=config.watch.every,
        callbacks=list(callbacks),
        profiler=profiler,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
