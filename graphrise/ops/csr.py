"""Sparse matrices by rows (CSR): whose rows an entry is of, and the matrix on its side."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrise.ops.backend import installed
from graphrise.ops.checks import check_index, check_rowptr, checked_mode, demand_index


def row_index(rowptr: Tensor, entries: int) -> Tensor:
    """Row of every entry.

    Args:
        rowptr: int32 or int64 `[N + 1]`.
        entries: E.

    Returns:
        int64 `[E]`. Pointers that were not looked at may be wrong: of entries they do not reach it
        is N, and none is less than 0 or more.
    """
    if not checked_mode(rowptr):
        entry = torch.arange(entries, dtype=rowptr.dtype, device=rowptr.device)
        # From -1, before the first row, to N; a rest of -1 is N.
        return (torch.searchsorted(rowptr.contiguous(), entry, right=True) - 1) % rowptr.numel()
    rows = torch.arange(rowptr.numel() - 1, device=rowptr.device)
    return torch.repeat_interleave(rows, rowptr.diff().long(), output_size=entries)


def row_lengths(rowptr: Tensor, entries: int) -> Tensor:
    """Entries of every row, `[N]` of rowptr's dtype; pointers are cut to the entries there are."""
    return rowptr.clamp(0, entries).diff().clamp(min=0)


@torch.library.custom_op("graphrise::csr_transpose", mutates_args=())
def _transpose(rowptr: Tensor, col: Tensor, num_cols: int) -> tuple[Tensor, Tensor, Tensor]:
    if checked_mode(col):
        check_rowptr("csr_transpose", rowptr, col.numel())
        check_index("csr_transpose", "col", col, num_cols)
    if col.device.type == "cpu" and installed("numba"):
        from graphrise.ops.cpu.csr import transpose

        return transpose(rowptr, col, num_cols)
    ordered, order = torch.sort(col, stable=True)
    columns = torch.arange(num_cols + 1, dtype=col.dtype, device=col.device)
    start = torch.searchsorted(ordered, columns).to(rowptr.dtype)
    return start, row_index(rowptr, col.numel())[order].to(col.dtype), order


@_transpose.register_fake
def _(rowptr: Tensor, col: Tensor, num_cols: int) -> tuple[Tensor, Tensor, Tensor]:
    order = torch.empty(col.numel(), dtype=torch.int64, device=col.device)
    return rowptr.new_empty(num_cols + 1), torch.empty_like(col), order


def csr_transpose(rowptr: Tensor, col: Tensor, num_cols: int) -> tuple[Tensor, Tensor, Tensor]:
    """The matrix on its side: entries by column, and within one by row.

    Args:
        rowptr: int32 or int64 `[N + 1]`.
        col: int32 or int64 `[E]` in `[0, num_cols)`.
        num_cols: Columns M.

    Returns:
        rowptr `[M + 1]` and col `[E]` of the transposed matrix, with the dtypes of the given, and
        int64 `[E]`, where each of its entries is in the given. Unchecked, entries of a column out
        of range lie before the first row or past the last, and those of no row have row N.

    Raises:
        ConfigError: A shape or dtype is not as above.
        DataError: rowptr is no CSR pointer, or a column is out of range (looked for on CPUs, and
            on GPUs with GRAPHRISE_CHECKED=1).
    """
    demand_index("csr_transpose", "rowptr", rowptr)
    demand_index("csr_transpose", "col", col)
    return _transpose(rowptr, col, num_cols)
