"""Part of case `ops`: rows summed by segment, and by an index in any order."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.child import Missing
from benchmarks.ops_trial import COPY, Figures, looked_at, row, timed
from benchmarks.rows import Row
from benchmarks.timing import copying
from graphrise.ops import reference
from graphrise.ops.backend import installed
from graphrise.ops.scatter import scatter_sum
from graphrise.ops.segment import segment_reduce

DIM, LENGTH = 64, 10
"""Columns, and entries of a row of the result in the mean."""
ENTRIES = {"cpu": 800_000, "cuda": 20_000_000}
OURS, DETERMINISTIC = "ours", "ours, deterministic"
PEERS = {"torch-scatter": "torch_scatter", "PyG scatter": "torch_geometric"}
"""Packages that need not be installed."""
ROWS_CHECKED = 1000


def rows(device: torch.device, repetitions: int) -> list[Row]:
    """Measure both sums, with a look at their results.

    Args:
        device: CPU or GPU.
        repetitions: Timed calls of every way.
    """
    found = []
    for dtype in (torch.float32,) if device.type == "cpu" else (torch.float32, torch.bfloat16):
        entries = ENTRIES[device.type]
        generator = torch.Generator(device).manual_seed(0)
        src = torch.randn(entries, DIM, device=device, generator=generator).to(dtype)
        index = torch.randint(entries // LENGTH, (entries,), device=device, generator=generator)
        found += _segments(src, index, repetitions) + _scatters(src, index, repetitions)
    return found


def _segments(src: Tensor, index: Tensor, repetitions: int) -> list[Row]:
    size = src.size(0) // LENGTH
    length = torch.bincount(index, minlength=size)
    rowptr = torch.cat((length.new_zeros(1), length.cumsum(0)))
    rising = torch.repeat_interleave(torch.arange(size, device=src.device), length)
    ours = partial(segment_reduce, src, rowptr)
    ways: dict[str, Callable[[], object]] = {
        OURS: looked_at(ours, lambda: _alike(ours(), src, rowptr)),
        "torch.segment_reduce": lambda: torch.segment_reduce(
            src, "sum", lengths=length, axis=0, unsafe=True
        ),
        "index_add_, sorted": lambda: src.new_zeros(size, DIM).index_add_(0, rising, src),
        "index_add_, unsorted": lambda: src.new_zeros(size, DIM).index_add_(0, index, src),
        "torch-scatter": lambda: _module("torch_scatter").segment_csr(src, rowptr),
        "PyG scatter": lambda: _module("torch_geometric.utils").scatter(src, rising, 0, size),
    }
    return _against(ways, "segment sum", src, size, rowptr, repetitions)


def _scatters(src: Tensor, index: Tensor, repetitions: int) -> list[Row]:
    size, every = src.size(0) // LENGTH, index.unsqueeze(1).expand_as(src)
    order = torch.argsort(index, stable=True)[: ROWS_CHECKED * LENGTH]
    counts = torch.bincount(index[order])[:-1]  # of the last row there may be more
    rowptr = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    ours = partial(scatter_sum, src, index, 0, dim_size=size)
    ways: dict[str, Callable[[], object]] = {
        OURS: looked_at(ours, lambda: _alike(ours(), src[order], rowptr)),
        "index_add_": lambda: src.new_zeros(size, DIM).index_add_(0, index, src),
        "scatter_add_, index expanded": lambda: src.new_zeros(size, DIM).scatter_add_(
            0, every, src
        ),
        "torch-scatter": lambda: _module("torch_scatter").scatter_sum(src, index, 0, dim_size=size),
        "PyG scatter": lambda: _module("torch_geometric.utils").scatter(src, index, 0, size),
    }
    if src.is_cuda:
        same = partial(ours, deterministic=True)
        ways[DETERMINISTIC] = looked_at(same, lambda: _alike(same(), src[order], rowptr))
    return _against(ways, "scatter sum, unsorted", src, size, index, repetitions)


def _against(
    ways: dict[str, Callable[[], object]],
    metric: str,
    src: Tensor,
    size: int,
    places: Tensor,
    repetitions: int,
) -> list[Row]:
    """Our time, held against each other way's; what is not installed is said to be missing."""
    touched = src.element_size() * DIM * (src.size(0) + size) + places.element_size() * len(places)
    missing = {name for name, package in PEERS.items() if not installed(package)}
    there = {name: way for name, way in ways.items() if name not in missing}
    there[COPY] = copying(touched, src.device)
    found: dict[str, Figures] = timed(there, src.device, repetitions)
    found |= {name: Missing("not installed") for name in sorted(missing)}
    what = f"{src.size(0):,} x {DIM} to {size:,}, {src.dtype}"
    return [
        row(OURS, name, found, own=(OURS, DETERMINISTIC), metric=metric, size=what)
        for name in found
        if name != OURS
    ]


def _alike(got: Tensor, src: Tensor, rowptr: Tensor) -> None:
    """Of the first rows, against the reference in float64."""
    ends = rowptr[: ROWS_CHECKED + 1].cpu()
    want = reference.segment_reduce(src[: int(ends[-1])].cpu().double(), ends)
    rtol = 2e-2 if src.dtype.itemsize < 4 else 1e-5
    torch.testing.assert_close(got[: len(want)].cpu().double(), want, rtol=rtol, atol=1e-2)


def _module(name: str) -> Any:
    return importlib.import_module(name)
