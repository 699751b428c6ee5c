"""metrics.csv of a run folder: a row of figures every so many steps."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from lightning.pytorch.utilities import rank_zero_only

from graphrise.data.files import whole_file
from graphrise.errors import DataError
from graphrise.train.run_logger import RunLogger


class MetricsFile(RunLogger):
    """A logger that appends rows to a CSV file, each at once, and goes on with one that is there.

    Column `step` comes first, others in the order in which they are first seen; a cell without a
    value is empty. Lightning's own CSVLogger deletes what an earlier process wrote.
    """

    def __init__(self, path: Path) -> None:
        """Write to `path`."""
        super().__init__(path)
        self._columns: list[str] = []

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row.

        Args:
            metrics: Value by column.
            step: Optimiser step, the first is 0.
        """
        row = {"step": 0 if step is None else step, **metrics}
        if not row.keys() <= set(self._columns):
            rows = self._read()
            self._columns += [name for name in row if name not in self._columns]
            self._replace(rows)
        with self._path.open("a", encoding="utf-8", newline="") as file:
            self._writer(file).writerow(row)

    @rank_zero_only
    def truncate(self, step: int) -> None:
        """Remove the rows of `step` and later.

        Raises:
            DataError: A row has no step.
        """
        self._replace([row for row in self._read() if int(row["step"]) < step])

    def _writer(self, file: TextIO) -> csv.DictWriter[str]:
        return csv.DictWriter(file, self._columns, lineterminator="\n")

    def _read(self) -> list[dict[str, str]]:
        if not self._path.is_file():
            return []
        text = self._path.read_text(encoding="utf-8")
        # Only whole lines: a process that was killed while it wrote left a part of one.
        reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
        rows = list(reader)
        self._columns = list(reader.fieldnames or [])
        for number, row in enumerate(rows, start=2):
            if not (row.get("step") or "").isdigit():
                raise DataError(
                    f"{self._path}: line {number}, column 'step' is {row.get('step')!r}, not a "
                    "number of a step; repair the line or delete the file"
                )
        return rows

    def _replace(self, rows: list[dict[str, str]]) -> None:
        if not rows and not self._columns:
            return
        with (
            whole_file(self._path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = self._writer(file)
            writer.writeheader()
            writer.writerows(rows)
