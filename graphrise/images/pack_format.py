"""The packed form on disk: names, versions, and which images.parquet it belongs to.

A folder: `settings.json` (written first), `part-00000.arrow`, ... (`PART_ROWS` rows each, in the
order of images.parquet), `pack.json` (written last: the pack is whole).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from graphrise.data.files import whole_file
from graphrise.data.tables import ImageTable
from graphrise.errors import DataError

pc: Any = pyarrow.compute  # its functions are made at import; type checkers see none

VERSION = 1
PART_ROWS = 4096
SETTINGS, MANIFEST = "settings.json", "pack.json"
PART_INFO = b"graphrise"
"""Key of a part's schema metadata: JSON of what happened to its images."""


def part_name(part: int) -> str:
    """File name of a part."""
    return f"part-{part:05d}.arrow"


def digest(table: ImageTable) -> str:
    """Sum over ids, paths and their order: what ties a pack to its images.parquet."""
    total = hashlib.blake2b(digest_size=16)
    for name in ("image_id", "path"):
        if name in table.table.column_names:
            column = table.table.column(name)
            total.update(f"{name} {pa.types.is_integer(column.type)};".encode())
            _add(total, column)
    return total.hexdigest()


def _add(total: Any, column: pa.ChunkedArray) -> None:
    """Add the values of a column; how it is cut into chunks makes no difference."""
    text = column.cast(pa.large_string())
    lengths = pc.fill_null(pc.binary_length(text), -1)
    total.update(np.ascontiguousarray(lengths.to_numpy()).astype("<i8"))
    for chunk in text.chunks:
        _, offsets, values = chunk.buffers()
        if len(chunk) and values is not None:
            bounds = np.frombuffer(offsets, np.int64)[chunk.offset :][: len(chunk) + 1]
            total.update(memoryview(values)[bounds[0] : bounds[-1]])


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of the packed form.

    Raises:
        DataError: It cannot be read, or is of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); {AGAIN}") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise DataError(f"{path}: not of version {VERSION}; {AGAIN}")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, whole or not at all."""
    with whole_file(path) as temporary:
        text = json.dumps({"version": VERSION, **content}, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")


AGAIN = "run `graphrise pack DATASET --overwrite`"
