"""Labels spread anew while a run trains, from what its model knows by then."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from lightning.pytorch.callbacks import Callback
from numpy.typing import DTypeLike
from torch import Tensor

from graphrise.graph.ragged import Ragged
from graphrise.graph.spread import respread
from graphrise.ops.sparse_rows import open_rows
from graphrise.train.data import TrainingData
from graphrise.train.encoded import directions, encoded, predicted
from graphrise.train.module import GraphRise
from graphrise.train.ranks import joined

KEPT = 3
"""Labels of the last refreshes that stay in the run folder, and those that a checkpoint needs."""


class SpreadRefresh(Callback):
    """Spreads labels anew after every `labels.spread_refresh` epochs.

    It does so between two epochs and writes them to `spread/NNN` of the run folder, whole or not at
    all; a checkpoint says which. From then on an epoch is the images that have a label then, so the
    trainer must ask `data` for its loader (`datamodule`) anew before each
    (`reload_dataloaders_every_n_epochs=1`).

    From predictions the unlabelled images are encoded, from embeddings all that have an edge, and
    every one counts as a pass. An embedding bank that has all of them is used instead and costs
    none. A refresh that would use up the budget is left out.

    Attributes:
        number: Refreshes so far.
        passes: Images encoded for them.
    """

    def __init__(self, data: TrainingData, run: Path) -> None:
        """Refresh the labels of `data` through files of `run`."""
        self._data, self._folder = data, run / "spread"
        self._seeds = 0
        self._saved: list[int] = []
        self.number = 0
        self.passes = 0

    def state_dict(self) -> dict[str, Any]:
        """Which labels are in use, and the counters."""
        return {
            "number": self.number,
            "seeds": self._seeds,
            "passes": self.passes,
            "saved": self._saved,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back; the labels follow in `on_fit_start`."""
        self.number, self._seeds = state_dict["number"], state_dict["seeds"]
        self.passes, self._saved = state_dict["passes"], list(state_dict["saved"])

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Note that a checkpoint needs the present labels."""
        if self.number not in self._saved:
            self._saved.append(self.number)
        # One more than are kept: the oldest goes only after the newest is there.
        del self._saved[: -(self._data.config.checkpoint.keep + 1)]

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Of a resumed run: put the labels back, before the trainer asks for the loader."""
        if self.number:
            self._use(pl_module)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Of a run that was stopped at the end of an epoch: make up for the refresh there."""
        self._refresh(trainer, pl_module, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Refresh, if it is time; not where training ends, or is asked to."""
        if not trainer.should_stop:
            self._refresh(trainer, pl_module, trainer.current_epoch + 1)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Tell the user what was done."""
        settings = self._data.config.labels
        if not self.number:
            note = (
                "labels were never spread anew: the budget left no room for it after "
                f"{settings.spread_refresh} epochs"
            )
        else:
            note = (
                f"labels spread anew {self.number} times, from {settings.spread_from}: "
                f"{self._data.num_labelled:,} labelled images, {self.passes:,} encoder passes"
            )
        self._data.notes.append(note)

    def _refresh(self, trainer: lightning.Trainer, module: GraphRise, epoch: int) -> None:
        """Spread labels anew if `epoch`, which is to begin, is the first with new ones."""
        every = self._data.config.labels.spread_refresh
        assert every is not None
        number, rest = divmod(epoch, every)
        if rest or number <= self.number:
            return
        nodes = self._wanted(trainer, module)
        budget = self._data.config.train.passes
        if budget is not None and module.passes + nodes.size >= budget:
            return
        self._make(trainer, module, nodes, self._folder / f"{number:03d}")
        module.passes += nodes.size
        self.passes += nodes.size
        self.number, self._seeds = number, module.seeds
        self._use(module)
        if trainer.is_global_zero:
            self._remove_old()

    def _wanted(self, trainer: lightning.Trainer, module: GraphRise) -> np.ndarray:
        """Images to encode, int64, rising."""
        data = self._data
        if data.config.labels.spread_from == "predictions":
            return np.flatnonzero(data.given.rowptr[1:] == data.given.rowptr[:-1])
        full = module.bank is not None and bool((module.bank.step >= 0).all())
        if trainer.strategy.reduce_boolean_decision(full):
            return np.empty(0, dtype=np.int64)
        rowptr = data.spread_graph.rowptr
        return np.flatnonzero(rowptr[1:] > rowptr[:-1])

    def _make(
        self, trainer: lightning.Trainer, module: GraphRise, nodes: np.ndarray, folder: Path
    ) -> None:
        """Encode, all ranks together, and spread."""
        data, scratch = self._data, self._folder / ".scratch"
        if trainer.is_global_zero:
            # Of a run that was cut off here, or that goes on from before it.
            for old in (folder, *self._folder.glob(".*")):
                shutil.rmtree(old, ignore_errors=True)
            scratch.mkdir(parents=True)
        trainer.strategy.barrier()
        predictions, embeddings = None, None
        if data.config.labels.spread_from == "predictions":
            predictions = self._predictions(trainer, module, nodes, scratch)
        else:
            embeddings = self._embeddings(trainer, module, nodes, scratch)
        module.bad_images = joined(module.bad_images)
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            respread(
                data.spread_graph,
                data.given,
                data.config.labels,
                predictions=predictions,
                embeddings=embeddings,
                folder=folder,
            )
            shutil.rmtree(scratch, ignore_errors=True)
        trainer.strategy.barrier()

    def _predictions(
        self, trainer: lightning.Trainer, module: GraphRise, nodes: np.ndarray, scratch: Path
    ) -> Ragged | None:
        """What the model takes the unlabelled images for, in files."""
        if nodes.size == 0:
            return None
        top = min(self._data.config.labels.spread_top, self._data.num_labels)
        index = _shared(
            trainer, scratch / "index.npy", self._data.given.index.dtype, nodes.size, top
        )
        weight = _shared(trainer, scratch / "weight.npy", np.float32, nodes.size, top)
        for place, z in self._encoded(trainer, module, nodes):
            index[place], weight[place] = predicted(module, z, top)
        counts = np.zeros(len(self._data.given) + 1, dtype=np.int64)
        counts[nodes + 1] = top
        return Ragged(np.cumsum(counts), index.ravel(), weight.ravel())

    def _embeddings(
        self, trainer: lightning.Trainer, module: GraphRise, nodes: np.ndarray, scratch: Path
    ) -> np.ndarray | None:
        """The model's embeddings of all images that have an edge: of the bank, or in a file."""
        if nodes.size == 0:
            return None if module.bank is None else module.bank.table.cpu().numpy()
        count, dim = len(self._data.given), module.encoder.dim
        found = _shared(trainer, scratch / "z.npy", np.float16, count, dim)
        for place, z in self._encoded(trainer, module, nodes):
            found[nodes[place]] = directions(z)
        return found

    def _encoded(
        self, trainer: lightning.Trainer, module: GraphRise, nodes: np.ndarray
    ) -> Iterator[tuple[slice, Tensor]]:
        size = self._data.config.train.batch_size
        rank, ranks = trainer.global_rank, trainer.world_size
        return encoded(module, self._data.reader, nodes, size, rank=rank, ranks=ranks)

    def _use(self, module: GraphRise) -> None:
        """Train on the labels of the last refresh."""
        labels = Ragged(*open_rows(self._folder / f"{self.number:03d}"))
        self._data.relabel(labels)
        every = self._data.config.labels.spread_refresh
        assert every is not None
        module.relabel(labels, self.number * every, self._seeds)

    def _remove_old(self) -> None:
        kept = {*range(self.number - KEPT + 1, self.number + 1), *self._saved}
        for folder in self._folder.iterdir():
            if folder.name.isdigit() and int(folder.name) not in kept:
                shutil.rmtree(folder)


def _shared(
    trainer: lightning.Trainer, file: Path, kind: DTypeLike, rows: int, width: int
) -> np.ndarray:
    """A new mapped file of zeros that every rank may write to."""
    if trainer.is_global_zero:
        np.lib.format.open_memmap(file, mode="w+", dtype=kind, shape=(rows, width))
    trainer.strategy.barrier()
    return np.load(file, mmap_mode="r+").view(np.ndarray)
