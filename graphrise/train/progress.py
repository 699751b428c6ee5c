"""Ends training at its budget, shows progress over it, and probes the encoder on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from graphrise.errors import GraphriseError
from graphrise.nn.encoder import Encoder
from graphrise.train.module import LOG_EVERY, GraphRise

Probe = Callable[[Encoder], dict[str, float]]
PROBES = 10


class Display(Protocol):
    """Where progress goes: a fraction of the budget, 0 to 1, and a line of state."""

    def __call__(self, fraction: float, state: str) -> None:
        """Show it."""
        ...


def bars() -> Progress:
    """Progress bars on stderr: name, bar, percentage, time left, and a state cut to fit."""
    whole = Column(no_wrap=True)
    return Progress(
        TextColumn("{task.description}", table_column=whole),
        BarColumn(bar_width=12, table_column=Column(min_width=12)),
        TextColumn("{task.percentage:>3.0f}%", table_column=Column(no_wrap=True, min_width=4)),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn(
            "{task.fields[state]}",
            table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
        ),
        console=Console(stderr=True),
        expand=True,
    )


class Budget(Callback):
    """Stops at the budget; measures training time without the probes.

    Attributes:
        seconds: Training time so far.
        curve: One entry per probe: `passes`, `seconds`, loss terms, and what the probe returned.
    """

    def __init__(self, name: str, display: Display, probe: Probe | None = None) -> None:
        """Report as `name` to `display`; call `probe` ten times, evenly over the budget."""
        self._name, self._display, self._probe = name, display, probe
        self._resumed = 0.0
        self.seconds = 0.0
        self.curve: list[dict[str, float]] = []

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Start the clock."""
        self._resumed = time.perf_counter()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the loss, show progress, probe when due, stop when the budget is used."""
        module: GraphRise = pl_module
        done = module.fraction()
        due = done * PROBES >= len(self.curve) + 1 or done >= 1
        if trainer.global_step % LOG_EVERY == 0 or due:
            self._show(module, done)
        if due:
            self._record(module)
        if done >= 1:
            trainer.should_stop = True

    def _show(self, module: GraphRise, done: float) -> None:
        losses = {name: float(value) for name, value in module.latest.items()}
        loss = losses["label_loss"]
        if not math.isfinite(loss):
            raise GraphriseError(
                f"{self._name}: the loss is not finite after {module.passes:,} passes; lower "
                "train.lr, or set train.precision to 32-true"
            )
        elapsed = self.seconds + time.perf_counter() - self._resumed
        state = f"loss {loss:.2f}"
        if "edge_loss" in losses:
            state += f"  edge {losses['edge_loss']:.2f}"
        if self.curve and self._probe is not None:
            name, value = list(self.curve[-1].items())[-1]
            state += f"  {name} {value:.2f}"
        self._display(done, f"{state}  {module.passes / max(elapsed, 1e-9):,.0f} img/s")

    def _record(self, module: GraphRise) -> None:
        self.seconds += time.perf_counter() - self._resumed
        entry = {"passes": float(module.passes), "seconds": self.seconds}
        entry |= {name: float(value) for name, value in module.latest.items()}
        if self._probe is not None:
            entry |= self._probe(module.encoder)
        self.curve.append(entry)
        self._resumed = time.perf_counter()
