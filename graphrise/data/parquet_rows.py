"""Rows of Parquet files that others wrote, some at a time: their pictures exceed memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from graphrise.data.tables import check_columns
from graphrise.errors import DataError

BATCH = 256
"""Rows in memory at a time."""


def parquet_rows(
    file: Path, columns: Sequence[str], *, keep: np.ndarray | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file.

    Args:
        file: The file.
        columns: Columns to read.
        keep: bool `[rows]`, the rows that are wanted; None: all.

    Yields:
        A dict of the columns.

    Raises:
        DataError: Not a readable Parquet file, or a column is missing.
    """
    check_columns(file, columns)
    start = 0
    try:
        # Buffered page by page; otherwise a whole row group, often a whole file, is held.
        with pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False) as parquet:
            for batch in parquet.iter_batches(BATCH, columns=list(columns)):
                stop = start + batch.num_rows
                if keep is not None:
                    batch = batch.filter(pa.array(keep[start:stop]))
                start = stop
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a readable Parquet file ({error})") from error


def picture(value: Any, file: Path) -> bytes | None:
    """Encoded bytes of a picture, plain or as Hugging Face `datasets` keeps it; None: it has none.

    Args:
        value: What its column holds.
        file: Where, for errors.

    Raises:
        DataError: The value is neither.
    """
    if isinstance(value, dict) and "bytes" in value:
        value = value["bytes"]
    if value is not None and not isinstance(value, bytes):
        raise DataError(
            f"{file}: a picture must be bytes, or a struct with a field 'bytes'; it is "
            f"{type(value).__name__}"
        )
    return value
