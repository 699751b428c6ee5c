"""Who runs the SQL: the few things that the builder asks of an engine, DuckDB or Spark."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from graphrise.config import EngineConfig

Display = Callable[[str, float | None], None]
"""Called with the stage's name and the fraction done, or None where that is not known."""


class Stages:
    """What the build is doing, told to a display.

    Attributes:
        name: The stage under way.
    """

    def __init__(self, display: Display | None = None) -> None:
        """Tell `display`, or nobody."""
        self._display = display
        self.name = ""

    def start(self, name: str) -> None:
        """Begin a stage."""
        self.name = name
        self.done(None)

    def done(self, fraction: float | None) -> None:
        """Say how far the stage is."""
        if self._display is not None:
            self._display(self.name, fraction)


class Engine(Protocol):
    """Runs SELECTs of the one SQL text that DuckDB and Spark both understand."""

    def read(self, name: str, files: Sequence[Path]) -> None:
        """Make Parquet part files known under a name."""
        ...

    def make(self, name: str, *selects: str) -> None:
        """Keep the rows of one or several SELECTs, run one after another, under a name."""
        ...

    def drop(self, *names: str) -> None:
        """Forget what was made."""
        ...

    def row(self, select: str) -> tuple[Any, ...]:
        """The one row of a SELECT."""
        ...

    def export(self, name: str, select: str) -> list[Path]:
        """Write a SELECT as Parquet parts under the spill folder, in the order of its rows."""
        ...

    def blocks(self, pairs: int, rows: int) -> int:
        """Blocks in which to work off a self-join of so many pairs, each reading all `rows`."""
        ...


@contextmanager
def open_engine(
    config: EngineConfig, beside: Path, stages: Stages
) -> Iterator[tuple[Engine, Path]]:
    """Start an engine with a spill folder of its own; both are gone afterwards.

    Args:
        config: Which one, and its limits.
        beside: Folder for the spill folder, unless `config` names one.
        stages: Told how far a query is.

    Yields:
        The engine and its spill folder.
    """
    home = beside if config.spill is None else Path(config.spill)
    spill = home / f".graphrise-spill-{uuid.uuid4().hex[:8]}"
    spill.mkdir(parents=True)
    try:
        if config.name == "spark":
            from graphrise.graph.engine.spark import SparkEngine

            engine = SparkEngine(config, spill, stages)
        else:
            from graphrise.graph.engine.duckdb import DuckDBEngine

            engine = DuckDBEngine(config, spill, stages)
        try:
            yield engine, spill
        finally:
            engine.close()
    finally:
        shutil.rmtree(spill, ignore_errors=True)
