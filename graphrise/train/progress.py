"""Ends training at its budget, shows progress over it, and probes the encoder on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from graphrise.nn.encoder import Encoder
from graphrise.train.module import GraphRise

Probe = Callable[[Encoder], dict[str, float]]
Keep = Callable[[Encoder, dict[str, float]], None]
PROBES = 10
SHOW_EVERY = 10
"""Steps."""


class Display(Protocol):
    """Where progress goes: a fraction of the budget, 0 to 1, and a line of state."""

    def __call__(self, fraction: float, state: str) -> None:
        """Show it."""
        ...


def bars(*, shown: bool = True) -> Progress:
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
        disable=not shown,
    )


class Budget(Callback):
    """Stops at the budget; measures training time without the probes.

    Attributes:
        seconds: Training time so far.
        remark: Shown at the end of the line.
        curve: One entry per probe: `passes`, `seconds`, loss terms, and what the probe returned.
    """

    def __init__(
        self,
        display: Display,
        probe: Probe | None = None,
        best: Keep | None = None,
    ) -> None:
        """Watch one run.

        Args:
            display: Gets progress.
            probe: Called ten times, evenly over the budget; its last number says which encoder is
                best, higher is better.
            best: Called with the encoder, and its entry of the curve, that beats all before it.
        """
        self._display, self._probe, self._best = display, probe, best
        self._resumed = 0.0
        self.seconds = 0.0
        self.remark = ""
        self.curve: list[dict[str, float]] = []

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Start the clock."""
        self._resumed = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """Time and curve so far."""
        running = time.perf_counter() - self._resumed if self._resumed else 0.0
        return {"seconds": self.seconds + running, "curve": self.curve}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self.seconds, self.curve = state_dict["seconds"], list(state_dict["curve"])

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show progress, probe when due, stop when the budget is used."""
        module: GraphRise = pl_module
        done = module.fraction()
        due = done * PROBES >= len(self.curve) + 1 or done >= 1
        if trainer.global_step % SHOW_EVERY == 0 or due:
            self._show(module, done)
        if due:
            self._record(module)
        if done >= 1:
            trainer.should_stop = True

    def _show(self, module: GraphRise, done: float) -> None:
        losses = {name: float(value) for name, value in module.latest.items()}
        elapsed = self.seconds + time.perf_counter() - self._resumed
        state = f"loss {losses['label_loss']:.2f}"
        if "edge_loss" in losses:
            state += f"  edge {losses['edge_loss']:.2f}"
        if self.curve and self._probe is not None:
            name, value = list(self.curve[-1].items())[-1]
            state += f"  {name} {value:.2f}"
        state += f"  {module.passes / max(elapsed, 1e-9):,.0f} img/s{self.remark}"
        self._display(done, state)

    def _record(self, module: GraphRise) -> None:
        self.seconds += time.perf_counter() - self._resumed
        entry = {"passes": float(module.passes), "seconds": self.seconds}
        entry |= {name: float(value) for name, value in module.latest.items()}
        if self._probe is not None:
            found = self._probe(module.exported)
            entry |= found
            name = list(found)[-1]
            if self._best and all(found[name] > before[name] for before in self.curve):
                self._best(module.exported, entry)
        self.curve.append(entry)
        self._resumed = time.perf_counter()
