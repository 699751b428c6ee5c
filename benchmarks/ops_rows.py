"""Part of case `ops`: neighbours' rows summed, and rows of a table updated in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial

import torch
from torch import Tensor

from benchmarks.ops_trial import COPY, Figures, looked_at, row, timed
from benchmarks.rows import Row
from benchmarks.timing import copying
from graphrise.ops import reference
from graphrise.ops.backend import Backend
from graphrise.ops.neighbor import neighbor_sum
from graphrise.ops.rowwise_adagrad import rowwise_adagrad_

DIM, DEGREE = 64, 10
NODES = {"cpu": 500_000, "cuda": 20_000_000}
TABLE = {"cpu": 4_000_000, "cuda": 40_000_000}
UPDATED = {"cpu": 65_536, "cuda": 65_536}
LR = 0.01
OURS = "ours"
_LOOKED_AT = 500
"""Rows of a sum's beginning, and as many of its end."""


def rows(device: torch.device, repetitions: int) -> list[Row]:
    """Measure both ops, with a look at their results.

    Args:
        device: CPU or GPU.
        repetitions: Timed calls of every way.
    """
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    return [*_neighbors(device, dtype, repetitions), *_updates(device, dtype, repetitions)]


def _neighbors(device: torch.device, dtype: torch.dtype, repetitions: int) -> list[Row]:
    nodes = NODES[device.type]
    generator = torch.Generator(device).manual_seed(0)
    z = torch.randn(nodes, DIM, device=device, generator=generator).to(dtype)
    rowptr = torch.arange(0, nodes * DEGREE + 1, DEGREE, device=device)
    col = torch.randint(nodes, (nodes * DEGREE,), device=device, generator=generator).int()
    weight = torch.rand(col.numel(), device=device, generator=generator).to(dtype)
    ours = partial(neighbor_sum, z, rowptr, col, weight)
    ways: dict[str, Callable[[], object]] = {
        OURS: looked_at(ours, lambda: _alike(ours(), z, col, weight))
    }
    if device.type == "cpu":  # messages of a GPU's size have no room beside z
        message = torch.repeat_interleave(torch.arange(nodes, device=device), DEGREE)
        ways["gather, multiply, index_add_"] = lambda: z.new_zeros(nodes, DIM).index_add_(
            0, message, z.index_select(0, col) * weight[:, None]
        )

    @cache
    def matrix() -> Tensor:
        return torch.sparse_csr_tensor(
            rowptr, col.long(), weight, (nodes, nodes), check_invariants=False
        )

    ways["torch.sparse CSR @ z"] = lambda: matrix() @ z
    touched = z.element_size() * DIM * (col.numel() + nodes) + col.numel() * 8
    ways[COPY] = copying(touched, device)
    size = f"{nodes:,} nodes, {col.numel():,} edges, D {DIM}, {dtype}"
    return _against(timed(ways, device, repetitions), "weighted neighbour sum", size)


def _updates(device: torch.device, dtype: torch.dtype, repetitions: int) -> list[Row]:
    labels, count = TABLE[device.type], UPDATED[device.type]
    generator = torch.Generator(device).manual_seed(0)
    table = torch.empty(labels, DIM, device=device, dtype=dtype).uniform_(-0.2, 0.2)
    state = torch.zeros(labels, device=device)
    grads = torch.randn(count, DIM, device=device, generator=generator)

    def drawn() -> Tensor:
        return torch.randint(labels, (count,), device=device, generator=generator)

    def updating(backend: Backend | None) -> Callable[[], object]:
        return lambda: rowwise_adagrad_(table, state, drawn(), grads, lr=LR, backend=backend)

    def look() -> None:
        rows = drawn()
        rows[:2] = labels - 1  # twice, and as far as the table goes
        _updated_alike(table, state, rows, grads)

    copied = count * (2 * DIM * table.element_size() + DIM * 4 + 8)
    ways: dict[str, Callable[[], object]] = {
        OURS: looked_at(updating(None), look),
        "torch, an operation at a time": updating("torch"),
        COPY: copying(copied, device),
    }
    times = timed(ways, device, repetitions)
    size = f"{count:,} rows of {labels:,}, D {DIM}, {dtype}"
    return _against(times, "row-wise Adagrad", size)


def _against(found: Mapping[str, Figures], metric: str, size: str) -> list[Row]:
    """Our time, held against each other way's."""
    return [
        row(OURS, name, found, own=(OURS,), metric=metric, size=size)
        for name in found
        if name != OURS
    ]


def _alike(got: Tensor, z: Tensor, col: Tensor, weight: Tensor) -> None:
    """Of the first rows and the last, against the reference in float64."""
    some = min(_LOOKED_AT, len(got))
    rowptr = torch.arange(0, some * DEGREE + 1, DEGREE)
    half = z.dtype.itemsize < 4
    for first in (0, len(got) - some):
        part = slice(first * DEGREE, (first + some) * DEGREE)
        ends, place = col[part].unique(return_inverse=True)
        rows, share = z[ends].cpu().double(), weight[part].cpu().double()
        want = reference.neighbor_sum(rows, rowptr, place.cpu(), share)
        found = got[first : first + some].cpu().double()
        torch.testing.assert_close(found, want, rtol=2e-2 if half else 1e-5, atol=1e-2)


def _updated_alike(table: Tensor, state: Tensor, rows: Tensor, grads: Tensor) -> None:
    """An update, of all rows it names, against the reference in float64."""
    distinct, place = rows.unique(return_inverse=True)
    before = table[distinct].double(), state[distinct].double()
    total = grads.new_zeros(len(distinct), DIM, dtype=torch.float64)
    total.index_add_(0, place, grads.double())
    rowwise_adagrad_(table, state, rows, grads, lr=LR)
    weights, squares = reference.rowwise_adagrad(*before, total, lr=LR)
    torch.testing.assert_close(state[distinct].double(), squares, rtol=1e-4, atol=1e-6)
    # A half is rounded up or down at random, to one of its neighbours.
    rtol = 2**-7 if table.dtype.itemsize < 4 else 1e-4
    torch.testing.assert_close(table[distinct].double(), weights, rtol=rtol, atol=1e-5)
