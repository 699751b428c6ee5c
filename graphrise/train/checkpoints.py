"""Writes checkpoints while a run trains, each whole or not at all, and stops it when asked."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

import lightning
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Checkpoint

from graphrise.config import CheckpointConfig
from graphrise.data.files import whole_folder
from graphrise.errors import DataError
from graphrise.nn.heads import SampledSoftmax, ShardedSoftmax, refill_table, save_table
from graphrise.train.module import GraphRise
from graphrise.train.stop import StopSignals

STATE = "state.ckpt"
_TABLE, _BANK = "labels", "bank.npy"


def check(checkpoint: Path) -> None:
    """See whether a checkpoint can be read.

    Raises:
        DataError: It cannot.
    """
    try:
        torch.load(checkpoint / STATE, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever a zip archive or the pickle in it can be wrong in
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{checkpoint}: damaged, remove it to go on with the one before it ({line})"
        ) from error


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of a run folder; None if there is none."""
    found = _kept(run / "checkpoint")
    return found[-1] if found else None


def restore(module: GraphRise, checkpoint: Path) -> None:
    """Put back what Lightning does not: label vectors of a sampled head and a mapped bank.

    Args:
        module: Made with the same settings.
        checkpoint: The folder; its `state.ckpt` is for `Trainer.fit`.

    Raises:
        DataError: The label table or the bank is damaged, or of another size.
    """
    if isinstance(module.head, (SampledSoftmax, ShardedSoftmax)):
        refill_table(module.head.table, checkpoint / _TABLE)
    if module.bank is not None and module.bank.mapped:
        module.bank.load(checkpoint / _BANK)


class Checkpoints(Checkpoint):
    """Folders `step-N`, written under a temporary name and renamed, the newest few of them kept.

    A `lightning` checkpoint callback, so that it runs after all others: what they do at the end of
    a step or of an epoch is in the checkpoint. Between an epoch's last step and its end none is
    written. SIGTERM and Ctrl-C end the run after a last one.

    Attributes:
        stop: Says which signal ended the run, if one did.
    """

    def __init__(self, folder: Path, config: CheckpointConfig, resumed: Path | None = None) -> None:
        """Keep the checkpoints of one run.

        Args:
            folder: Where they are, a run's `checkpoint`.
            config: When, and how many.
            resumed: The one that the run goes on from.
        """
        self._folder, self._config, self._resumed = folder, config, resumed
        self.stop = StopSignals()
        self._saved_at, self._saved_step, self._step = 0.0, 0, 0
        self._due = False
        self._random: list[dict[str, Any]] | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Start the clock, and listen: only now, since Lightning listens from just before."""
        self._saved_at = time.monotonic()
        self._saved_step = self._step = trainer.global_step
        if trainer.is_global_zero and self._folder.is_dir():
            for left in self._folder.glob(".step-*"):  # of a process that was killed
                shutil.rmtree(left, ignore_errors=True)
        self.stop.listen()

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Listen no more."""
        self.stop.stop()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException
    ) -> None:
        """Likewise."""
        self.stop.stop()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Of a resumed run's first step: let random numbers go on where they were."""
        if self._random is not None:
            set_random_state(self._random)
            self._random = None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write one if it is time, unless gradients are being collected or it was the last step."""
        if trainer.global_step == self._step or pl_module.fraction() >= 1:
            return
        self._step = trainer.global_step
        due, stop = self._agreed(trainer, [self._is_due(), self.stop.received is not None])
        self._due = due or stop
        if stop:
            trainer.should_stop = True
        if self._due and not trainer.is_last_batch:
            self._save(trainer, pl_module)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Write the one that the last step asked for."""
        if self._due:
            self._save(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the state of every rank's random numbers, which dropout draws."""
        mine = random_state()
        states = [mine]
        if trainer.world_size > 1:
            states = [mine] * trainer.world_size
            dist.all_gather_object(states, mine)
        checkpoint["random"] = states

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Take it back, once training starts; label vectors and a mapped bank now."""
        self._random = checkpoint["random"]
        if self._resumed is not None:
            restore(pl_module, self._resumed)

    def _is_due(self) -> bool:
        steps = self._config.steps
        late = time.monotonic() - self._saved_at >= 60 * self._config.minutes
        return late or (steps is not None and self._step - self._saved_step >= steps)

    def _agreed(self, trainer: lightning.Trainer, mine: list[bool]) -> list[bool]:
        """What at least one rank says: clocks differ, and a signal may reach only one."""
        if trainer.world_size == 1:
            return mine
        flags = torch.tensor(mine, dtype=torch.uint8, device=trainer.strategy.root_device)
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return flags.bool().tolist()

    def _save(self, trainer: lightning.Trainer, module: GraphRise) -> None:
        self._due = False
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step
        with contextlib.ExitStack() as stack:
            place: Path | None = None
            if trainer.is_global_zero:
                name = self._folder / f"step-{trainer.global_step:09d}"
                place = stack.enter_context(whole_folder(name, overwrite=True, mark=STATE))
            place = trainer.strategy.broadcast(place)
            assert place is not None
            trainer.save_checkpoint(place / STATE)
            if isinstance(module.head, (SampledSoftmax, ShardedSoftmax)):
                group = dist.group.WORLD if trainer.world_size > 1 else None
                save_table(module.head.table, place / _TABLE, group=group)
            if module.bank is not None and module.bank.mapped and trainer.is_global_zero:
                module.bank.save(place / _BANK)
            trainer.strategy.barrier()
        if trainer.is_global_zero:
            for old in _kept(self._folder)[: -self._config.keep]:
                _remove(old)


def random_state() -> dict[str, Any]:
    """State of torch's random numbers on this rank."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"cpu": torch.get_rng_state(), "cuda": devices}


def set_random_state(states: list[dict[str, Any]]) -> None:
    """Put it back, if as many ranks trained then; else their numbers go on as they are."""
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    if len(states) != ranks:
        return
    torch.set_rng_state(states[rank]["cpu"])
    if len(states[rank]["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states[rank]["cuda"])


def _kept(folder: Path) -> list[Path]:
    found = folder.glob("step-*") if folder.is_dir() else ()
    return sorted(f for f in found if (f / STATE).is_file())


def _remove(folder: Path) -> None:
    """Not a checkpoint any more from one moment to the next."""
    aside = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
