"""Part of case `ops`: neighbours' rows summed, and rows of a table updated in place."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.rows import Row
from benchmarks.timing import copying, in_turn
from graphrise.ops import reference
from graphrise.ops.backend import Backend
from graphrise.ops.neighbor import neighbor_sum
from graphrise.ops.rowwise_adagrad import rowwise_adagrad_

DIM, DEGREE = 64, 10
NODES = {"cpu": 500_000, "cuda": 20_000_000}
TABLE = {"cpu": 4_000_000, "cuda": 40_000_000}
UPDATED = {"cpu": 65_536, "cuda": 65_536}
OURS, COPY = "ours", "copy of as many bytes"


def rows(device: torch.device, repetitions: int) -> list[Row]:
    """Measure both ops, after a look at their results.

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
    _alike(neighbor_sum, reference.neighbor_sum, z, rowptr, col, weight)
    ways: dict[str, Callable[[], object]] = {OURS: lambda: neighbor_sum(z, rowptr, col, weight)}
    if device.type == "cpu":  # messages of a GPU's size have no room beside z
        message = torch.repeat_interleave(torch.arange(nodes, device=device), DEGREE)
        ways["gather, multiply, index_add_"] = lambda: z.new_zeros(nodes, DIM).index_add_(
            0, message, z.index_select(0, col) * weight[:, None]
        )
    matrix = torch.sparse_csr_tensor(
        rowptr, col.long(), weight, (nodes, nodes), check_invariants=False
    )
    ways["torch.sparse CSR @ z"] = lambda: matrix @ z
    touched = z.element_size() * DIM * (col.numel() + nodes) + col.numel() * 8
    ways[COPY] = copying(touched, device)
    size = f"{nodes:,} nodes, {col.numel():,} edges, D {DIM}, {dtype}"
    return _against(in_turn(ways, device, repetitions), "weighted neighbour sum", size)


def _updates(device: torch.device, dtype: torch.dtype, repetitions: int) -> list[Row]:
    labels, count = TABLE[device.type], UPDATED[device.type]
    generator = torch.Generator(device).manual_seed(0)
    table = torch.empty(labels, DIM, device=device, dtype=dtype).uniform_(-0.2, 0.2)
    state = torch.zeros(labels, device=device)
    grads = torch.randn(count, DIM, device=device, generator=generator)

    def updating(backend: Backend | None) -> Callable[[], object]:
        def update() -> None:
            rows = torch.randint(labels, (count,), device=device, generator=generator)
            rowwise_adagrad_(table, state, rows, grads, lr=0.01, backend=backend)

        return update

    copied = count * (2 * DIM * table.element_size() + DIM * 4 + 8)
    ways = {
        OURS: updating(None),
        "torch, an operation at a time": updating("torch"),
        COPY: copying(copied, device),
    }
    times = in_turn(ways, device, repetitions)
    size = f"{count:,} rows of {labels:,}, D {DIM}, {dtype}"
    return _against(times, "row-wise Adagrad", size)


def _against(times: dict[str, list[float]], metric: str, size: str) -> list[Row]:
    """Our time, held against each other way's."""
    return [
        Row(
            case="ops",
            variant=OURS,
            metric=metric,
            values=times[OURS],
            unit="ms",
            baseline=name,
            baseline_values=theirs,
            higher_is_better=False,
            size=size,
        )
        for name, theirs in times.items()
        if name != OURS
    ]


def _alike(
    op: Callable[..., Tensor],
    truth: Callable[..., Tensor],
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
) -> None:
    """Of the first nodes, against the reference in float64."""
    some = min(1000, rowptr.numel() - 1)
    entries = int(rowptr[some])
    got = op(z, rowptr[: some + 1], col[:entries], weight[:entries]).double().cpu()
    rows, ends = z.cpu().double(), rowptr[: some + 1].cpu()
    want = truth(rows, ends, col[:entries].cpu(), weight[:entries].cpu().double())
    torch.testing.assert_close(got, want, rtol=2e-2 if z.dtype.itemsize < 4 else 1e-5, atol=1e-2)
