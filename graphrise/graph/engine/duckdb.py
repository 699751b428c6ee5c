"""The builder's SQL in this process, by DuckDB, out of core."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from graphrise.config import EngineConfig
from graphrise.errors import DataError, GraphriseError
from graphrise.graph.engine.base import Stages

_BLOCK_PAIRS = 1_000_000
"""Groups of so many pairs stay near the processor's caches."""
_PAIRS_A_ROW = 0.7
"""A block of fewer would spend its time on reading rows."""
_MOST_BLOCKS = 4096
_SHARE = 0.75
"""Of the memory allowed: the rest is for Python, Arrow and what DuckDB does not count."""


class DuckDBEngine:
    """See `Engine`. Tables live in a database file of the spill folder."""

    def __init__(self, config: EngineConfig, spill: Path, stages: Stages) -> None:
        """Start DuckDB with the limits of `config`."""
        settings: dict[str, Any] = {
            "temp_directory": str(spill / "duckdb"),
            # Every result that has an order asks for it.
            "preserve_insertion_order": False,
        }
        if config.memory_gb is not None:
            settings["memory_limit"] = f"{config.memory_gb * _SHARE:.3f}GB"
        if config.threads is not None:
            settings["threads"] = config.threads
        self._spill, self._stages, self._config = spill, stages, config
        self._con = duckdb.connect(str(spill / "build.duckdb"), config=settings)
        self._con.execute("set enable_progress_bar = true")
        self._con.execute("set enable_progress_bar_print = false")

    def read(self, name: str, files: Sequence[Path]) -> None:
        """Make Parquet part files known under a name."""
        listed = ", ".join(_quoted(file) for file in files)
        self._run(f"create or replace view {name} as from read_parquet([{listed}])")

    def make(self, name: str, *selects: str) -> None:
        """Keep the rows of the SELECTs under a name."""
        for number, select in enumerate(selects):
            start = f"insert into {name}" if number else f"create or replace table {name} as"
            self._run(f"{start} {select}", number, len(selects))

    def drop(self, *names: str) -> None:
        """Forget what was made."""
        for name in names:
            self._run(f"drop table if exists {name}")

    def row(self, select: str) -> tuple[Any, ...]:
        """The one row of a SELECT."""
        self._run(select)
        found = self._con.fetchall()
        if len(found) != 1:
            raise ValueError(f"{len(found)} rows of {select}")
        return found[0]

    def export(self, name: str, select: str) -> list[Path]:
        """Write a SELECT as one Parquet file, in the order of its rows."""
        file = self._spill / f"{name}.parquet"
        self._run(f"copy ({select}) to {_quoted(file)} (format parquet, compression lz4)")
        return [file]

    def blocks(self, pairs: int, rows: int) -> int:
        """Blocks that keep the groups of a self-join small."""
        block = max(_BLOCK_PAIRS, int(_PAIRS_A_ROW * rows))
        return max(1, min(_MOST_BLOCKS, -(-pairs // block)))

    def close(self) -> None:
        """Close the database."""
        self._con.close()

    def _run(self, sql: str, number: int = 0, of: int = 1) -> None:
        with self._watched(number, of):
            try:
                self._con.execute(sql)
            except RuntimeError as error:
                if "Query interrupted" in str(error):
                    raise KeyboardInterrupt from error
                raise
            except (duckdb.OutOfMemoryException, duckdb.IOException, OSError) as error:
                raise _explained(error, self._stages.name, self._config, self._spill) from error

    @contextmanager
    def _watched(self, number: int, of: int) -> Iterator[None]:
        """Tell the display how far the query is, from another thread: this one is in DuckDB."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.25):
                part = max(0.0, self._con.query_progress()) / 100
                self._stages.done((number + part) / of)

        thread = threading.Thread(target=watch, daemon=True)
        try:
            thread.start()  # here, as Ctrl-C may come while it starts
            yield
        finally:
            over.set()
            if thread.ident is not None:
                thread.join()


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _explained(
    error: Exception, stage: str, config: EngineConfig, spill: Path
) -> GraphriseError | Exception:
    """Out of memory and out of disk in the user's words; anything else as it is."""
    text = str(error)
    first = text.splitlines()[0]
    full = ("No space left", "max_temp_directory_size", "File too large", "Disk quota")
    if any(sign in text for sign in full):
        return DataError(
            f"{stage}: no space left on the disk of {spill.parent} ({first}); free some, or give "
            "--graph.engine.spill, a folder on another disk"
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        limit = "its limit" if config.memory_gb is None else f"{config.memory_gb:g} GB"
        return DataError(
            f"{stage}: more memory is needed than {limit} ({first}); give more by "
            "--graph.engine.memory_gb, or lower --graph.engine.threads or "
            "--graph.coclick.images_per_query"
        )
    return error
