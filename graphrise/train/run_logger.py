"""What the loggers that write to a run folder share."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger


class RunLogger(Logger):
    """A logger with one file or folder in a run folder, which a run that goes on adds to.

    With several ranks the first one writes.
    """

    def __init__(self, path: Path) -> None:
        """Write to `path`; nothing is made before the first row."""
        super().__init__()
        self._path = path

    @property
    def name(self) -> str:
        """Name of the file or folder."""
        return self._path.name

    @property
    def version(self) -> str:
        """None: a run folder has one."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self._path.parent)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run folder has config.yaml."""

    @abstractmethod
    def truncate(self, step: int) -> None:
        """Take back what was written of `step` and later: after a checkpoint of so many steps."""
