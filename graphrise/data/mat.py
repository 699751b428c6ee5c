"""MATLAB files that some data sets keep their lists in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graphrise.errors import DataError


def read_structs(file: Path, variable: str, fields: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Some fields of a struct array.

    Args:
        file: A .mat of version 7 or older.
        variable: Name of the array.
        fields: Fields to read.

    Returns:
        For every struct, the values of the fields.

    Raises:
        DataError: scipy is not installed, or the file is damaged or holds no such array.
    """
    array = _read(file, variable)
    if array.dtype.names is None or not set(fields) <= set(array.dtype.names):
        raise DataError(f"{file}: {variable!r} has no fields {', '.join(fields)}")
    return [tuple(one[name] for name in fields) for one in array]


def read_strings(file: Path, variable: str) -> list[str]:
    """A cell array of strings; arguments and errors as of `read_structs`."""
    return [str(one) for one in _read(file, variable)]


def _read(file: Path, variable: str) -> np.ndarray:
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise DataError(f"{file}: a .mat is read by scipy: pip install scipy") from error
    try:
        return np.atleast_1d(loadmat(str(file), squeeze_me=True)[variable])
    except KeyError as error:
        raise DataError(f"{file}: holds no variable {variable!r}") from error
    except (MatReadError, ValueError, TypeError, NotImplementedError) as error:
        raise DataError(f"{file}: not a readable .mat ({error})") from error
