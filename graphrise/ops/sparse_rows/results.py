"""Where new rows go as they are made: memory, or files of a folder."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.lib import format as npy

from graphrise.errors import DataError
from graphrise.ops.sparse_rows.rows import SparseRows

ROOM = 1 << 20
"""Entries that there is room for at least, before arrays have to grow."""


class InMemory:
    """Rows in arrays that grow."""

    def __init__(self, like: SparseRows, nodes: int, top: int) -> None:
        """Room for what there will be; memory is taken only as it is written."""
        room = min(nodes * top, max(ROOM, 2 * like.index.size))
        self._rowptr = np.zeros(nodes + 1, dtype=np.int64)
        self._index = np.empty(room, dtype=like.index.dtype)
        self._weight = np.empty(room, dtype=like.weight.dtype)
        self._rows = 0
        self._used = 0

    def add(self, counts: np.ndarray, index: np.ndarray, weight: np.ndarray) -> None:
        """Take the next rows."""
        end = self._used + index.size
        if end > self._index.size:
            self._index = _longer(self._index, self._used, max(end, 2 * self._index.size))
            self._weight = _longer(self._weight, self._used, self._index.size)
        self._index[self._used : end] = index
        self._weight[self._used : end] = weight
        after = self._rowptr[self._rows + 1 : self._rows + 1 + counts.size]
        np.cumsum(counts, out=after)
        after += self._used
        self._rows += counts.size
        self._used = end

    def rows(self) -> SparseRows:
        """All of them."""
        return SparseRows(self._rowptr, self._index[: self._used], self._weight[: self._used])


class InFiles:
    """Rows in `rowptr.npy`, `index.npy` and `weight.npy`, written one after another.

    Nothing is mapped for writing: a full disk is an error and no signal, and what is written is
    nowhere the process's memory.
    """

    def __init__(self, folder: Path, like: SparseRows) -> None:
        """Make the folder and begin its files."""
        folder.mkdir()
        kinds = (np.dtype(np.int64), like.index.dtype, like.weight.dtype)
        names = SparseRows._fields
        self._files = [_Growing(folder / f"{n}.npy", k) for n, k in zip(names, kinds, strict=True)]
        self._used = 0
        self._files[0].add(np.zeros(1, dtype=np.int64))

    def add(self, counts: np.ndarray, index: np.ndarray, weight: np.ndarray) -> None:
        """Take the next rows."""
        after = self._used + np.cumsum(counts, dtype=np.int64)
        for file, array in zip(self._files, (after, index, weight), strict=True):
            file.add(array)
        self._used += index.size

    def __enter__(self) -> InFiles:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files; without an error they become readable."""
        for file in self._files:
            file.close(whole=error is None)


class _Growing:
    """A one-dimensional .npy file whose size is known at its end."""

    def __init__(self, path: Path, kind: np.dtype) -> None:
        self._file, self._kind, self._size = path.open("wb"), kind, 0
        self._head()

    def _head(self) -> None:
        # numpy leaves room in it for any number.
        shape = {"descr": self._kind.str, "fortran_order": False, "shape": (self._size,)}
        npy.write_array_header_1_0(self._file, shape)

    def add(self, array: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(array, dtype=self._kind).data)
        self._size += array.size

    def close(self, *, whole: bool) -> None:
        with self._file:
            if whole:
                self._file.seek(0)
                self._head()


def open_rows(folder: Path) -> SparseRows:
    """Map the rows that `propagate_sparse` wrote; none is read.

    Raises:
        DataError: The folder does not hold them, or they are damaged.
    """
    try:
        # Plain arrays: the subclass of maps is refused by torch.
        return SparseRows(
            *(
                np.load(folder / f"{n}.npy", mmap_mode="r", allow_pickle=False).view(np.ndarray)
                for n in SparseRows._fields
            )
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: no sparse rows, or damaged ones ({error})") from error


def _longer(array: np.ndarray, used: int, size: int) -> np.ndarray:
    out = np.empty(size, dtype=array.dtype)
    out[:used] = array[:used]
    return out
