"""Indices looked at before a kernel follows them."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from graphrise.errors import ConfigError, DataError

VARIABLE = "GRAPHRISE_CHECKED"
"""Environment variable: 1 checks indices on GPUs too, where looking costs a synchronisation."""

INDEX_DTYPES = (torch.int32, torch.int64)


def checked_mode(x: Tensor) -> bool:
    """Whether indices of an op on this tensor are checked: on a CPU always, on a GPU if asked.

    Unchecked, what has an index out of range is left out, and row pointers are cut to the entries
    there are: no backend reads other memory, but for torch-scatter, which looks at nothing.
    """
    return x.device.type == "cpu" or os.environ.get(VARIABLE, "0") == "1"


def inside(index: Tensor, size: int) -> Tensor:
    """Which indices lie in `[0, size)`: bool, of index's shape."""
    return (index >= 0) & (index < size)


def check_index(op: str, name: str, index: Tensor, size: int) -> None:
    """Demand that every index lies in `[0, size)`.

    Args:
        op: The op's name, for errors.
        name: The argument's name, for errors.
        index: int32 or int64, any shape.
        size: Rows there are.

    Raises:
        DataError: One does not; the first is named.
    """
    if index.numel() == 0:
        return
    low, high = (int(of) for of in torch.aminmax(index))
    if low >= 0 and high < size:
        return
    flat = index.reshape(-1)
    at = int(((flat < 0) | (flat >= size)).nonzero()[0])
    raise DataError(f"{op}: {name}[{at}] is {int(flat[at])}; it must lie in [0, {size})")


def check_rowptr(op: str, rowptr: Tensor, entries: int) -> None:
    """Demand CSR row pointers: from 0, never falling, up to the number of entries.

    Args:
        op: The op's name, for errors.
        rowptr: int32 or int64 `[N + 1]`.
        entries: E.

    Raises:
        DataError: They are not; the place is named.
    """
    first, last = int(rowptr[0]), int(rowptr[-1])
    if first != 0 or last != entries:
        raise DataError(
            f"{op}: rowptr runs from {first} to {last}; of {entries} entries it must run from 0 "
            f"to {entries}"
        )
    falls = rowptr[1:] < rowptr[:-1]
    if bool(falls.any()):
        at = int(falls.nonzero()[0])
        raise DataError(
            f"{op}: rowptr falls from {int(rowptr[at])} to {int(rowptr[at + 1])} at row {at}; the "
            "entries must be sorted by row"
        )


def demand_index(op: str, name: str, index: Tensor, dim: int = 1) -> None:
    """Demand an index tensor's dtype and number of dimensions.

    Raises:
        ConfigError: It has others.
    """
    if index.dtype not in INDEX_DTYPES or index.dim() != dim:
        raise ConfigError(
            f"{op}: {name} must be int32 or int64 with {dim} dimension(s), got {index.dtype} "
            f"{list(index.shape)}"
        )
