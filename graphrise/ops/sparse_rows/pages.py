"""Memory of a mapped file that has been read is given back."""

from __future__ import annotations

import mmap

import numpy as np


def let_go(array: np.ndarray, end: int) -> None:
    """Give back the pages of `array[:end]` if it is a view of a mapped file; it stays readable.

    A page that was read counts as the process's memory, and brings neighbours along (Linux: 64 KB,
    up to megabytes), until it is given back. The file and the system's cache of it are not touched.
    """
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    file = root.base
    # What was written to a copy-on-write map is in its pages only.
    if not isinstance(file, mmap.mmap) or getattr(root, "mode", "c") == "c":
        return
    if hasattr(mmap, "MADV_DONTNEED"):
        start = np.frombuffer(file, dtype=np.uint8).ctypes.data
        size = array.ctypes.data + end * array.itemsize - start
        size -= size % mmap.PAGESIZE
        if size > 0:
            file.madvise(mmap.MADV_DONTNEED, 0, size)
