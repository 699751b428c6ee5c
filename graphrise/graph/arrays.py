"""New .npy files to fill through memory maps."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike


def new_array(file: Path, dtype: DTypeLike, shape: int | tuple[int, ...]) -> np.ndarray:
    """Make a .npy file and map it for writing; its space on the disk is taken at once.

    Args:
        file: File to make.
        dtype: Of the array.
        shape: Of the array.

    Raises:
        OSError: The disk is full. Without taking the space first, writing to the map would kill
            the process instead (SIGBUS).
    """
    shape = (shape,) if isinstance(shape, int) else shape
    if 0 in shape:  # nothing to map
        np.save(file, np.empty(shape, dtype=dtype))
        return np.empty(shape, dtype=dtype)
    array = np.lib.format.open_memmap(file, mode="w+", dtype=np.dtype(dtype), shape=shape)
    if hasattr(os, "posix_fallocate"):
        descriptor = os.open(file, os.O_RDWR)
        try:
            os.posix_fallocate(descriptor, 0, file.stat().st_size)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(file)) from error
        finally:
            os.close(descriptor)
    return array
