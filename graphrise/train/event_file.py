"""TensorBoard's event files in a run folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from graphrise.train.run_logger import RunLogger

FLUSH_SECONDS = 10
"""Rows are on the disk that soon; tensorboardX waits for the disk (fsync), so not each at once."""


class EventFile(RunLogger):
    """A logger that writes TensorBoard's scalars with tensorboardX.

    `tensorboard --logdir RUN` shows them. A run that goes on writes a second file that hides the
    first one's values from its step on: Lightning's TensorBoardLogger opens its file before that
    step is known.
    """

    def __init__(self, folder: Path) -> None:
        """Write into `folder`."""
        super().__init__(folder)
        self._writer: Any = None
        self._flushed = 0.0

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write one scalar a name.

        Args:
            metrics: Value by name.
            step: Optimiser step, the first is 0.
        """
        from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        # One event for all: tensorboardX's SummaryWriter makes one a value, seven times the work,
        # and hands them to a thread.
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._write(step or 0, summary=Summary(value=values))

    @rank_zero_only
    def truncate(self, step: int) -> None:
        """Hide what an earlier process wrote of `step` and later."""
        if self._path.is_dir():
            from tensorboardX.proto.event_pb2 import SessionLog  # pyright: ignore[reportAttributeAccessIssue]

            self._write(step, session_log=SessionLog(status=SessionLog.START))

    @rank_zero_only
    def save(self) -> None:
        """Put on the disk what is not there yet."""
        if self._writer is not None:
            self._writer.flush()
            self._flushed = time.monotonic()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, step: int, **content: Any) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

        now = time.time_ns()
        if self._writer is None:
            self._path.mkdir(parents=True, exist_ok=True)
            # Named by the second: more, for a run that goes on within one.
            self._writer = EventsWriter(str(self._path / "events"), f".{now}")
        self._writer.write_event(Event(wall_time=now / 1e9, step=step, **content))
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.save()
