"""What sparse rows are, and what the op demands of its arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from graphrise.errors import ConfigError, DataError

OP = "propagate_sparse"
INDICES, WEIGHTS = ("int32", "int64"), ("float32", "float64")
_AT_ONCE = 1 << 22
"""Numbers looked at at a time: bounds what is made of them."""


class SparseRows(NamedTuple):
    """Ragged rows over many labels: a few labels with weights for each of N nodes.

    Attributes:
        rowptr: int64 (as input also int32) `[N + 1]`; node i's are `rowptr[i]:rowptr[i + 1]`.
        index: int32 or int64 `[nnz]`, label ids.
        weight: float32 or float64 `[nnz]`.
    """

    rowptr: np.ndarray
    index: np.ndarray
    weight: np.ndarray


def fixed(name: str, array: Any, kinds: tuple[str, ...]) -> np.ndarray:
    """A contiguous read-only view of an array (a copy where it is not contiguous).

    Read-only whatever it was, since loops are compiled for either kind alone.

    Raises:
        ConfigError: It has another dtype or number of dimensions.
    """
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype not in _dtypes(kinds):
        what = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else array
        raise ConfigError(f"{OP}: {name} must be a {' or '.join(kinds)} array [n], got {what}")
    out = np.require(array, requirements=["C", "A"]).view(np.ndarray)
    out.flags.writeable = False
    return out


def check_rowptr(name: str, rowptr: np.ndarray, entries: dict[str, int]) -> None:
    """Demand row pointers from 0, never falling, up to the number of entries.

    Args:
        name: For errors.
        rowptr: `[N + 1]`.
        entries: Size of each array that they point into, by name.

    Raises:
        DataError: They are not; the place is named.
    """
    if rowptr.size == 0:
        raise DataError(f"{OP}: {name} is empty; of no rows it would be [0]")
    first, last = int(rowptr[0]), int(rowptr[-1])
    for of, size in entries.items():
        if first != 0 or last != size:
            raise DataError(
                f"{OP}: {name} runs from {first} to {last}; of {size} entries of {of} it must run "
                f"from 0 to {size}"
            )
    for start in range(0, rowptr.size - 1, _AT_ONCE):
        part = rowptr[start : start + _AT_ONCE + 1]
        falls = part[1:] < part[:-1]
        if falls.any():
            row = start + int(falls.argmax())
            raise DataError(
                f"{OP}: {name} falls from {rowptr[row]} to {rowptr[row + 1]} at row {row}; the "
                "entries must be sorted by row"
            )


def check_nodes(col: np.ndarray, nodes: int, begin: int) -> None:
    """Demand that neighbours lie in `[0, nodes)`.

    Args:
        col: A stretch of them.
        nodes: N.
        begin: Where the stretch begins, for errors.

    Raises:
        DataError: One does not; the first is named.
    """
    if col.size == 0 or (col.min() >= 0 and col.max() < nodes):
        return
    at = int(((col < 0) | (col >= nodes)).argmax())
    raise DataError(f"{OP}: col[{begin + at}] is {col[at]}; it must lie in [0, {nodes})")


def check_weights(name: str, weight: np.ndarray, begin: int = 0) -> None:
    """Demand that weights are finite and not negative.

    Args:
        name: For errors.
        weight: Them, or a stretch.
        begin: Where the stretch begins, for errors.

    Raises:
        DataError: One is not; the first is named.
    """
    for start in range(0, weight.size, _AT_ONCE):
        part = weight[start : start + _AT_ONCE]
        if part.min() >= 0 and part.max() < np.inf:  # a NaN is neither
            continue
        at = int((~((part >= 0) & (part < np.inf))).argmax())
        raise DataError(
            f"{OP}: {name}[{begin + start + at}] is {part[at]}; weights must be finite and not "
            "negative"
        )


def _dtypes(kinds: tuple[str, ...]) -> list[DTypeLike]:
    return [np.dtype(kind) for kind in kinds]
