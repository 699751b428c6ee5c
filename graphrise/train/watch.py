"""Writes down how a run goes, a row of figures every so many steps."""

from __future__ import annotations

import time
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch.optim import Optimizer

from graphrise.train.collapse import Collapse
from graphrise.train.fetch_clock import FetchClock
from graphrise.train.measures import embedding_measures, gradient_norms, learning_rates
from graphrise.train.module import GraphRise
from graphrise.train.progress import Budget
from graphrise.train.run_logger import RunLogger


class Watch(Callback):
    """Gives the trainer's loggers a row on every step that `GraphRise.is_logged` names.

    A row is of one step (its last batch, where gradients are accumulated) and of this process, the
    first of several; a loss that is a mean over all ranks, as a sharded head's, is so here. Over
    `LightningModule.log` it costs nothing on other steps.

    - `epoch`, `passes`, `seeds`: how far the run is
    - `loss` and its terms (`GraphRise.latest`), `lr` (`measures.learning_rates`)
    - `grad_norm/encoder`, `grad_norm/head`: before clipping
    - `embedding_spread`, `embedding_rank` of the labelled images of the batch
      (`measures.embedding_measures`), `embedding_norm` where the encoder does not normalise
    - `images_per_second`, encoded for training, and `loader_wait`, the share of the time that
      training waited for batches (0 to 1): since the row before, from the fetch of each batch to
      the end of its step; probes and checkpoints do not count
    - `gpu_peak_mib`: largest memory allocated on the GPU so far

    Attributes:
        clock: For `Trainer(profiler=...)`.
    """

    def __init__(self, budget: Budget) -> None:
        """Tell of a collapse in the line that `budget` shows."""
        self.clock = FetchClock()
        self._budget, self._collapse = budget, Collapse()
        self._row: dict[str, Any] | None = None
        self._written = self._passes = 0
        self._images = self._seconds = 0.0
        self._before = (0.0, 0.0, 0.0)

    @property
    def notes(self) -> list[str]:
        """What a user should know."""
        return [] if self._collapse.note is None else [self._collapse.note]

    def totals(self) -> dict[str, float]:
        """`images_per_second` and `loader_wait` since this process began to train."""
        return _speed(self._images, self._seconds, self.clock.waited)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Let files go on at the present step: rows after a checkpoint would come twice."""
        self._written = trainer.global_step
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.truncate(trainer.global_step)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count from here: passes between steps are not the step's."""
        self._passes = pl_module.passes

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: Any, optimizer: Optimizer
    ) -> None:
        """Take what only now is there: gradients, before clipping, and this step's rates."""
        module: GraphRise = pl_module
        if module.is_logged():
            rates = learning_rates(optimizer, module.encoder, module.head)
            self._row = {**rates, **gradient_norms(module.encoder, module.head)}

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the row, if this step has one."""
        row, self._row = self._row, None
        if row is not None:
            row = self._figures(trainer, pl_module, row)
        self._images += pl_module.passes - self._passes
        self._seconds += time.perf_counter() - self.clock.begin
        if row is not None:
            self._write(trainer, row)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Write the last step's row, if training ended before its budget."""
        if trainer.global_step > self._written:
            self._write(trainer, self._figures(trainer, pl_module, {}))

    def _figures(
        self, trainer: lightning.Trainer, module: GraphRise, row: dict[str, Any]
    ) -> dict[str, float]:
        """Numbers of a row but its speed; on a GPU this waits for the step to be done."""
        z = module.embeddings
        measures = {} if z is None else embedding_measures(z)
        if module.config.encoder.normalize:
            measures.pop("embedding_norm", None)
        counts = {"epoch": trainer.current_epoch, "passes": module.passes, "seeds": module.seeds}
        tensors = {**module.latest, **row, **measures}
        found = counts | {name: float(value) for name, value in tensors.items()}
        if module.device.type == "cuda":
            found["gpu_peak_mib"] = torch.cuda.max_memory_allocated(module.device) / 2**20
        if "embedding_spread" in found and module.fraction() > module.config.train.warmup:
            self._collapse.see(found["embedding_spread"], trainer.global_step - 1)
            self._budget.remark = "  COLLAPSED" if self._collapse.now else ""
        return found

    def _write(self, trainer: lightning.Trainer, row: dict[str, float]) -> None:
        now = (self._images, self._seconds, self.clock.waited)
        row |= _speed(*(a - b for a, b in zip(now, self._before, strict=True)))
        self._before, self._written = now, trainer.global_step
        for logger in trainer.loggers:
            logger.log_metrics(row, trainer.global_step - 1)


def _speed(images: float, seconds: float, waited: float) -> dict[str, float]:
    seconds = max(seconds, 1e-9)
    return {"images_per_second": images / seconds, "loader_wait": min(1.0, waited / seconds)}
