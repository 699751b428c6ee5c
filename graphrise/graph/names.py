"""Image ids and label names of a graph folder: memory-mapped, so millions open at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa

from graphrise.errors import DataError

_BATCH = 1 << 20


class Names(Sequence):
    """A read-only sequence of strings or whole numbers over an Arrow column.

    Attributes:
        column: The Arrow column.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        """Wrap `column`."""
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self.column.slice(start, max(0, stop - start)).to_pylist()
            return self.take(np.arange(start, stop, step))
        return self.column[int(index)].as_py()

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), _BATCH):
            yield from self.column.slice(start, _BATCH).to_pylist()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        some = ", ".join(map(repr, self[:3]))
        return f"Names([{some}{', ...' if len(self) > 3 else ''}], {len(self):,} in all)"

    def take(self, index: np.ndarray) -> list[Any]:
        """Names at some places.

        Args:
            index: int64 `[B]`.
        """
        return self.column.take(pa.array(index)).to_pylist()


def write_names(path: Path, batches: Iterable[pa.Array], kind: pa.DataType) -> None:
    """Write one column as an Arrow IPC file, which can be memory-mapped.

    Args:
        path: File to write.
        batches: The names, in order.
        kind: Arrow type of the column.
    """
    schema = pa.schema([("name", kind)])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            for start in range(0, len(batch), _BATCH):
                writer.write_batch(
                    pa.record_batch([batch.slice(start, _BATCH).cast(kind)], schema=schema)
                )


def open_names(path: Path) -> Names:
    """Open what `write_names` wrote; nothing but its index is read.

    Raises:
        DataError: The file is damaged.
    """
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        return Names(table.column("name"))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path}: damaged ({error}); build the graph again") from error
