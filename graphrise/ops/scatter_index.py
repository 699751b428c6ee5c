"""The index of a scatter: one number a row or one a number, checked, sorted, followed back."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrise.ops.checks import check_index, checked_mode, inside
from graphrise.ops.csr import csr_transpose


def check(op: str, src: Tensor, index: Tensor, rows: int) -> None:
    """Demand indices in `[0, rows)`; on CPUs, and on GPUs in checked mode.

    Raises:
        DataError: One is not.
    """
    if checked_mode(src):
        check_index(op, "index", index, rows)


def as_rows(src: Tensor, index: Tensor, rows: int) -> tuple[Tensor, Tensor, int]:
    """The same with one index a row: where every number has its own, each becomes a row.

    Args:
        src: `[E, D]`.
        index: `[E]` or `[E, D]`.
        rows: Of the result.

    Returns:
        src `[E, D]` or `[E D, 1]`, index of as many rows, and rows of the result: `rows` or
        `rows D`. Indices out of range stay so.
    """
    if index.dim() == 1:
        return src, index, rows
    dim, index = src.size(1), index.long()
    if not checked_mode(src):
        index = index.clamp(-1, rows)  # a product that overflows could be in range
    column = torch.arange(dim, device=index.device)
    return src.reshape(-1, 1), (index * dim + column).reshape(-1), rows * dim


def by_row(index: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Entries in the order of their rows, those of one row in the order given.

    Args:
        index: int32 or int64 `[E]`; entries out of `[0, rows)` are in no row (on a GPU).
        rows: Of the result.

    Returns:
        int64 row pointers `[rows + 1]` and int64 `[E]`, the entry at each place.
    """
    if index.device.type == "cpu":
        one_row = torch.tensor([0, index.numel()])
        start, _, order = csr_transpose(one_row, index, rows)
        return start, order
    return by_sorting(index, rows)


def by_sorting(index: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """`by_row`, by a sort."""
    ordered, order = torch.sort(index, stable=True)
    bounds = torch.arange(rows + 1, dtype=index.dtype, device=index.device)
    return torch.searchsorted(ordered, bounds), order


def follow(grad: Tensor, index: Tensor) -> Tensor:
    """`grad[index]`, `[E, D]` of `[rows, D]`: 0 where an index is out of range and unchecked.

    Args:
        grad: `[rows, D]`.
        index: `[E]` or `[E, D]`.
    """
    if not checked_mode(grad):
        index = torch.where(inside(index, grad.size(0)), index, grad.size(0))
        grad = torch.cat((grad, grad.new_zeros(1, grad.size(1))))
    if index.dim() == 1:
        return grad.index_select(0, index)
    return grad.gather(0, index.long())
