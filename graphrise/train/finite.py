"""Ends a run whose loss is not finite, and keeps the batch that did it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch_geometric.data import Data

from graphrise.errors import GraphriseError
from graphrise.train.bad_batch import save_batch
from graphrise.train.module import GraphRise


@dataclass
class _Step:
    """What the error says of a step."""

    number: int
    epoch: int
    passes: int
    terms: dict[str, Tensor]
    batch: Data


class FiniteLoss(Callback):
    """Looks at the loss of every step; where it is not finite, training ends with an error.

    On a CPU it does so before the backward pass, so that weights and optimiser are still those of
    the step before. A GPU is not waited for: its loss is copied beside the work and looked at in
    the next step, when the weights are spoiled already. No checkpoint keeps them: none is written
    before the last loss has been looked at, nor of weights that are not finite.

    The batch is kept in `bad_batch/` of the run folder (`bad_batch.save_batch`), by each rank that
    has one.
    """

    def __init__(self, run: Path, image_ids: Sequence[Any]) -> None:
        """Watch a run.

        Args:
            run: The run folder.
            image_ids: By node of the graph.
        """
        self._run, self._image_ids = run, image_ids
        self._batch: Data | None = None
        self._copy: tuple[Tensor, torch.cuda.Event] | None = None
        self._pending: _Step | None = None

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Remember the batch."""
        self._batch = batch

    def on_before_backward(self, trainer: lightning.Trainer, pl_module: Any, loss: Tensor) -> None:
        """Look at the loss, or at that of the step before."""
        module: GraphRise = pl_module
        value = module.latest["loss"]
        self._look()
        if value.device.type != "cuda" and math.isfinite(float(value)):
            return
        assert self._batch is not None
        step = _Step(
            trainer.global_step, trainer.current_epoch, module.passes, module.latest, self._batch
        )
        if value.device.type != "cuda":
            raise self._error(step)
        if self._copy is None:
            self._copy = torch.empty_like(value, device="cpu").pin_memory(), torch.cuda.Event()
        host, copied = self._copy
        host.copy_(value, non_blocking=True)
        copied.record()
        self._pending = step

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to keep what cannot be gone on from."""
        self._look()
        weights = [parameter.detach() for parameter in pl_module.parameters()]
        if not math.isfinite(float(get_total_norm(weights, norm_type=math.inf))):
            raise GraphriseError(
                f"{self._run.name}: the weights are not finite after {trainer.global_step:,} "
                f"steps, so no checkpoint is written; {_ADVICE}"
            )

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Look at the last one."""
        self._look()
        self._batch = None

    def _look(self) -> None:
        step, self._pending = self._pending, None
        if step is not None and self._copy is not None:
            host, copied = self._copy
            copied.synchronize()
            if not math.isfinite(float(host)):
                raise self._error(step)

    def _error(self, step: _Step) -> GraphriseError:
        """Keep the batch, and say so."""
        terms = {name: float(value) for name, value in step.terms.items()}
        rank = dist.get_rank() if dist.is_initialized() else 0
        folder = self._run / (f"bad_batch_{rank}" if rank else "bad_batch")
        facts = {
            "step": step.number,
            "epoch": step.epoch,
            "passes": step.passes,
            "terms": terms,
            "config": str(self._run / "config.yaml"),
        }
        save_batch(folder, step.batch, self._image_ids, facts)
        said = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
        return GraphriseError(
            f"{self._run.name}: the loss is not finite after {step.passes:,} passes, at step "
            f"{step.number} ({said}); {_ADVICE}. Its batch is in {folder}, earlier checkpoints are "
            "as they were"
        )


_ADVICE = "lower train.lr, or set train.precision to 32-true"
