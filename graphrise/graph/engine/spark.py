"""The builder's SQL on Spark: a local session, or a cluster that shares the spill folder."""

from __future__ import annotations

import logging
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphrise.config import EngineConfig
from graphrise.errors import ConfigError
from graphrise.graph.engine.base import Stages


class SparkEngine:
    """See `Engine`. Every table is Parquet in the spill folder, so that no row is made twice."""

    def __init__(self, config: EngineConfig, spill: Path, stages: Stages) -> None:
        """Start a session; an active one of the caller's is not touched.

        Raises:
            ConfigError: pyspark or Java is missing.
        """
        try:
            from pyspark import SparkContext
            from pyspark.errors.exceptions.base import PySparkRuntimeError
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise ConfigError(
                "the engine spark needs pyspark: pip install graphrise[spark]"
            ) from error
        stages.start("starting Spark")
        self._spill = spill
        active = SparkSession.getActiveSession()
        self._own = active is None
        self._started_java = SparkContext._gateway is None
        try:
            if active is None:
                builder: Any = SparkSession.builder
                builder = builder.appName("graphrise").config(map=_settings(config, spill))
                self._session = builder.getOrCreate()
            else:  # the caller's: its tables and settings are not ours
                self._session = active.newSession()
        except PySparkRuntimeError as error:
            raise ConfigError(
                f"Spark does not start ({str(error).splitlines()[0]}); it needs Java 17 or newer"
            ) from error
        self._interrupts = _Interrupts()  # after Spark has set its own handler
        for name, value in _SQL.items():
            self._session.conf.set(name, value)

    def read(self, name: str, files: Sequence[Path]) -> None:
        """Make Parquet part files known under a name."""
        with self._interrupts.told():
            frame = self._session.read.parquet(*(f"file://{file.absolute()}" for file in files))
            frame.createOrReplaceTempView(name)

    def make(self, name: str, *selects: str) -> None:
        """Keep the rows of the SELECTs under a name."""
        folder = self._spill / name
        shutil.rmtree(folder, ignore_errors=True)
        for select in selects:
            self._write(select, folder)
        self.read(name, [folder])

    def drop(self, *names: str) -> None:
        """Forget what was made."""
        for name in names:
            self._session.catalog.dropTempView(name)
            shutil.rmtree(self._spill / name, ignore_errors=True)

    def row(self, select: str) -> tuple[Any, ...]:
        """The one row of a SELECT."""
        with self._interrupts.told():
            (found,) = self._session.sql(select).collect()
        return tuple(found)

    def export(self, name: str, select: str) -> list[Path]:
        """Write a SELECT as Parquet parts whose names rise in the order of its rows."""
        folder = self._spill / f"{name}.parquet"
        self._write(select, folder)
        return sorted(folder.glob("part-*.parquet"))

    def _write(self, select: str, folder: Path) -> None:
        with self._interrupts.told():
            self._session.sql(select).write.mode("append").parquet(f"file://{folder.absolute()}")

    def blocks(self, pairs: int, rows: int) -> int:
        """One: Spark parts the work itself."""
        return 1

    def close(self) -> None:
        """Stop the session, if it is our own."""
        self._interrupts.close()
        if self._own:
            self._session.stop()
            if self._started_java:
                _end_java()


def _end_java() -> None:
    """End the Java process, which outlives its sessions.

    It holds memory, and the files of a later session would go into the spill folder of its first
    one, made anew.
    """
    from pyspark import SparkContext

    gateway: Any = SparkContext._gateway
    SparkContext._gateway = SparkContext._jvm = None
    gateway.shutdown()
    gateway.proc.stdin.close()  # what it waits for
    gateway.proc.wait()


class _Interrupts:
    """Ctrl-C as one clean KeyboardInterrupt.

    Spark's own handler calls the JVM in the middle of another call, and py4j turns the
    interrupt into a network error: pages of tracebacks, and the wrong exception.
    """

    def __init__(self) -> None:
        self._came = False
        self._main = threading.current_thread() is threading.main_thread()
        self._before = signal.getsignal(signal.SIGINT)
        if self._main:
            signal.signal(signal.SIGINT, self._handle)
            logging.getLogger().addFilter(self._is_other)

    def _handle(self, number: int, frame: Any) -> None:
        self._came = True
        raise KeyboardInterrupt

    @staticmethod
    def _is_other(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("KeyboardInterrupt while sending")

    @contextmanager
    def told(self) -> Iterator[None]:
        """Raise KeyboardInterrupt for whatever a call to the JVM made of it."""
        try:
            yield
        except Exception as error:
            if self._came:
                raise KeyboardInterrupt from error
            raise

    def close(self) -> None:
        """Put back what was."""
        if self._main:
            signal.signal(signal.SIGINT, self._before)
            logging.getLogger().removeFilter(self._is_other)


_SQL = {
    # One text for both engines: no integer cut short, no cast that gives null.
    "spark.sql.ansi.enabled": "true",
    # Not lz4: Spark frames it as Hadoop does, and Arrow reads no page of several frames.
    "spark.sql.parquet.compression.codec": "snappy",
}


def _settings(config: EngineConfig, spill: Path) -> dict[str, str]:
    settings = {
        "spark.master": config.master or f"local[{config.threads or '*'}]",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.sql.warehouse.dir": str(spill / "warehouse"),
    }
    if config.master is None:
        settings["spark.local.dir"] = str(spill / "spark")
        settings["spark.driver.bindAddress"] = "127.0.0.1"
        settings["spark.driver.host"] = "127.0.0.1"
    if config.memory_gb is not None:
        settings["spark.driver.memory"] = f"{int(config.memory_gb * 1024)}m"
    return settings
