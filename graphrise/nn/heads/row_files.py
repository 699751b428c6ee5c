"""Rows of a tensor in .npy files: streamed to and from its memory, or mapped."""

from __future__ import annotations

import hashlib
import io
import math
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphrise.errors import DataError

DESCR = {torch.float32: "<f4", torch.float64: "<f8", torch.bfloat16: "<u2"}
"""Types of the numbers in the files; numpy has no bfloat16, so its bits are kept."""
_BLOCK = 1 << 26
"""Bytes at a time."""
_NO_RESERVE = 0x4000
"""MAP_NORESERVE, which Python names from 3.13 on."""


def write_rows(file: Path, rows: Tensor) -> str:
    """Write a tensor, in blocks and from where it lies.

    Args:
        file: File to make.
        rows: `[C]` or `[C, D]`, float32, float64 or bfloat16, on any device.

    Returns:
        sha256 of the file, hexadecimal.
    """
    head = _header(rows.shape, rows.dtype)
    digest = hashlib.sha256(head)
    with file.open("wb") as out:
        out.write(head)
        for part in _parts(rows):
            memory = _bytes(rows[part].cpu().contiguous())
            digest.update(memory)
            out.write(memory)
    return digest.hexdigest()


def read_rows(file: Path, shape: tuple[int, ...], begin: int, out: Tensor) -> None:
    """Read some rows into the memory of a tensor; on a GPU, through a block in between.

    Args:
        file: That `write_rows` made.
        shape: Of the whole file.
        begin: Row to begin at.
        out: `[R]` or `[R, D]`, contiguous; its dtype is that of the file.

    Raises:
        DataError: The file is missing, not of this shape and type, or of the wrong size.
    """
    start = _start(file, shape, out.dtype)
    with file.open("rb") as source:
        source.seek(start + begin * _row_bytes(shape, out.dtype))
        for part in _parts(out):
            target = out[part]
            near = target.device.type == "cpu"
            block = target if near else torch.empty_like(target, device="cpu")
            if source.readinto(_bytes(block)) != block.nbytes:
                raise DataError(f"{file}: it became shorter while it was read")
            if not near:
                target.copy_(block)


def new_rows(file: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Make a file of zeros and map it for reading and writing.

    Args:
        file: File to make.
        shape: Of the tensor.
        dtype: Of the tensor.

    Raises:
        OSError: The disk is full. Without taking the space first, writing to the map would kill
            the process instead (SIGBUS).
    """
    head = _header(shape, dtype)
    size = len(head) + shape[0] * _row_bytes(shape, dtype)
    with file.open("wb") as out:
        out.write(head)
        out.truncate(size)
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(out.fileno(), 0, size)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(file)) from error
    return map_rows(file, shape, dtype, 0, shape[0], shared=True)


def map_rows(
    file: Path, shape: tuple[int, ...], dtype: torch.dtype, begin: int, count: int, *, shared: bool
) -> Tensor:
    """Some rows of a file as a tensor over its pages.

    Args:
        file: That `write_rows` or `new_rows` made.
        shape: Of the whole file.
        dtype: Of the tensor.
        begin: First row.
        count: Rows.
        shared: Whether what is written to the tensor goes to the file; else it stays in memory.

    Raises:
        DataError: As `read_rows`.
    """
    start = _start(file, shape, dtype)
    with file.open("r+b" if shared else "rb") as source:
        pages = _pages(source.fileno(), shared)
    numbers = count * math.prod(shape[1:])
    offset = start + begin * _row_bytes(shape, dtype)
    # The tensor keeps the map alive.
    flat = torch.frombuffer(pages, dtype=dtype, count=numbers, offset=offset)
    return flat.view(count, *shape[1:])


def file_digest(file: Path) -> str:
    """sha256 of a file, hexadecimal."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _header(shape: tuple[int, ...], dtype: torch.dtype) -> bytes:
    out = io.BytesIO()
    fields = {"descr": DESCR[dtype], "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(out, fields)
    return out.getvalue()


def _start(file: Path, shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """Where the numbers begin, if the file is what it should be."""
    head = _header(shape, dtype)
    want = len(head) + shape[0] * _row_bytes(shape, dtype)
    try:
        size = file.stat().st_size
        with file.open("rb") as source:
            found = source.read(len(head))
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    if size != want:
        raise DataError(f"{file}: damaged ({size:,} bytes, not {want:,})")
    if found != head:
        raise DataError(f"{file}: damaged (not {DESCR[dtype]} of shape {list(shape)})")
    return len(head)


def _pages(descriptor: int, shared: bool) -> mmap.mmap:
    if shared:
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_WRITE)
    if sys.platform != "linux":
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
    # Linux would set memory aside for a changed copy of every page, and refuse a larger file.
    return mmap.mmap(descriptor, 0, flags=mmap.MAP_PRIVATE | _NO_RESERVE)


def _row_bytes(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    return math.prod(shape[1:]) * dtype.itemsize


def _parts(rows: Tensor) -> Iterator[slice]:
    count = max(1, _BLOCK // _row_bytes(rows.shape, rows.dtype))
    for first in range(0, len(rows), count):
        yield slice(first, min(first + count, len(rows)))


def _bytes(rows: Tensor) -> memoryview:
    return rows.view(torch.uint8).numpy().data
