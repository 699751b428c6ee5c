"""Scattered reads of a large mapped array that leave none of its pages resident."""

from __future__ import annotations

import mmap
import os
import weakref
from pathlib import Path
from typing import cast

import numpy as np

from graphrise.errors import DataError

SMALL = 64 << 20
"""Bytes up to which an array is read through its map: it may well become resident whole."""
FEW = 1 << 14
"""Reads up to which the file is asked; more go through the map, which is faster by far once its
pages are there."""


class Scattered:
    """An array that is read at scattered places.

    A mapped page is the process's memory from its first read on, and brings neighbours along
    (Linux: 64 KB, up to megabytes): random reads soon make a whole graph resident, and every new
    page costs a page fault of some microseconds. Few reads of a large mapped file are therefore
    made with `pread`: about a microsecond each, nothing resident, less read ahead from a disk. The
    values are the same. Threads and forked workers may share one.

    Attributes:
        array: The array itself, for many reads.
    """

    def __init__(self, array: np.ndarray) -> None:
        """Open the file under `array` if it is one of `open_graph`'s and large; else it is read.

        Raises:
            DataError: The file is gone or another by now.
        """
        self.array = array
        self._map = _file_map(array) if array.nbytes > SMALL and hasattr(os, "pread") else None
        if self._map is not None:
            self._open(self._map)

    def _open(self, file_map: np.memmap) -> None:
        again = "since the graph was opened; open it again"
        try:
            self._descriptor = os.open(str(file_map.filename), os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{file_map.filename}: gone {again}") from error
        weakref.finalize(self, os.close, self._descriptor)
        some = np.linspace(0, self.array.size - 1, 8).astype(np.int64)
        if (
            os.fstat(self._descriptor).st_size != file_map.offset + file_map.nbytes
            or (self.rows(some, np.ones_like(some)) != self.array[some]).any()
        ):
            raise DataError(f"{file_map.filename}: replaced {again}")
        if hasattr(mmap, "MADV_DONTNEED"):
            # The comparison mapped pages, each with up to megabytes of neighbours.
            cast("mmap.mmap", file_map.base).madvise(mmap.MADV_DONTNEED)

    def __reduce__(self) -> tuple[object, ...]:
        if self._map is None:
            return Scattered, (self.array,)
        # Descriptors are the process's own; and a copy of the array would be gigabytes.
        return _open_again, (self._map.filename,)

    def by_file(self, reads: int) -> bool:
        """Whether so many reads are better made of the file."""
        return self._map is not None and reads <= FEW

    def at(self, index: np.ndarray) -> np.ndarray:
        """Values at some places.

        Args:
            index: int64 `[B]`.
        """
        if self.by_file(index.size):
            return self.rows(index, np.ones_like(index))
        return self.array.take(index)

    def pairs(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values at some places, and at the places after them.

        Args:
            index: int64 `[B]`.
        """
        if self.by_file(index.size):
            both = self.rows(index, np.full_like(index, 2))
            return both[::2], both[1::2]
        return self.array.take(index), self.array.take(index + 1)

    def rows(self, start: np.ndarray, count: np.ndarray) -> np.ndarray:
        """Stretches of the file, one after another; only if `by_file`.

        Args:
            start: int64 `[B]`, first value of each.
            count: int64 `[B]`, values of each.

        Raises:
            DataError: The file ends too early.
        """
        assert self._map is not None
        kind = self.array.dtype
        places = (self._map.offset + start * kind.itemsize).tolist()
        sizes = (count * kind.itemsize).tolist()
        parts = [os.pread(self._descriptor, n, p) for n, p in zip(sizes, places, strict=True)]
        data = bytearray().join(parts)  # not bytes: torch wants to be able to write
        if len(data) != sum(sizes):
            raise DataError(f"{self._map.filename}: cut short; build the graph again")
        return np.frombuffer(data, dtype=kind)


def _file_map(array: np.ndarray) -> np.memmap | None:
    """The read-only map of a whole .npy file that `array` is a plain view of."""
    root = array.base
    if not isinstance(root, np.memmap) or not isinstance(root.base, mmap.mmap):
        return None
    return root if root.mode == "r" and root.nbytes == array.nbytes else None


def _open_again(path: Path) -> Scattered:
    return Scattered(np.load(path, mmap_mode="r").view(np.ndarray))
