"""Distances along edges and their gradients on CPUs: which thread does what.

Distances are taken by threads that have edges of their own. A gradient has two ends to be written
to, so its threads have columns of their own instead: each goes over all edges, none waits, and the
result does not depend on how many there are.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from graphrise.ops.cpu.edge_loops import (
    pairs_apart,
    pull_columns,
    pull_pairs,
    pull_rows,
    rows_apart,
)
from graphrise.ops.cpu.jit import SMALL, over_rows, run_parts
from graphrise.ops.edge_kinds import COMPILED, inverse_norm

_LINE = 64
"""Bytes of a row that threads do not share."""


def distances_(out: Tensor, z: Tensor, u: Tensor, v: Tensor, kind: str) -> None:
    """Write the distance of every pair, `[E]`; contiguous CPU tensors, indices in range."""
    threads = torch.get_num_threads() if u.numel() * z.size(1) >= SMALL else 1
    ends = u.numpy(), v.numpy()
    args = out.numpy(), COMPILED.index(kind), z.numpy(), _norm(z, kind), *ends
    run_parts(pairs_apart, _cut(u.numel(), threads), *args)


def row_distances_(out: Tensor, z: Tensor, rowptr: Tensor, col: Tensor, kind: str) -> None:
    """Write the distance of every entry, `[E]`; tensors as above."""
    _over_entries(out, z.new_empty(0, dtype=torch.float64), z, rowptr, col, None, kind)


def energy(z: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor | None, kind: str) -> Tensor:
    """Sum of weights and distances, a float64 scalar; tensors as above."""
    rows = z.new_zeros(rowptr.numel() - 1, dtype=torch.float64)
    _over_entries(z.new_empty(0), rows, z, rowptr, col, weight, kind)
    # numpy adds in an order that no number of threads changes.
    return torch.tensor(float(rows.numpy().sum()), dtype=torch.float64)


def pull_pairs_(
    grad: Tensor, z: Tensor, u: Tensor, v: Tensor, weight: Tensor, far: Tensor | None, kind: str
) -> None:
    """Add to `grad` `[N, D]` the gradient of `(weight * distance).sum()`.

    Args:
        grad: As z.
        z: Contiguous CPU tensor, as all.
        u: In range.
        v: In range.
        weight: `[E]` of z's dtype.
        far: The distances, for a kind that `needs_distance`.
        kind: A compiled one.
    """
    pairs = u.numpy(), v.numpy(), weight.numpy()
    args = grad.numpy(), COMPILED.index(kind), z.numpy(), _norm(z, kind), _numpy(far, z), *pairs
    run_parts(pull_pairs, _columns(z, u.numel()), *args)


def pull_(
    grad: Tensor,
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    scale: float,
    kind: str,
    symmetric: bool,
) -> None:
    """Add to `grad` `[N, D]` the gradient of `scale * energy`; tensors as above."""
    start, shared = rowptr.long().numpy(), (COMPILED.index(kind), z.numpy(), _norm(z, kind))
    graph = start, col.numpy(), _numpy(weight, z), scale
    if symmetric:
        over_rows(pull_rows, start, z.size(1), grad.numpy(), *shared, *graph)
        return
    far = None
    if needs_distance(kind):
        far = z.new_empty(col.numel())
        row_distances_(far, z, rowptr, col, kind)
    args = grad.numpy(), *shared, _numpy(far, z), *graph
    run_parts(pull_columns, _columns(z, col.numel()), *args)


def needs_distance(kind: str) -> bool:
    """Whether columns of the gradient cannot be had without the whole distance."""
    return kind in ("l2", "cosine")


def _over_entries(
    out: Tensor,
    energy: Tensor,
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    kind: str,
) -> None:
    start = rowptr.long().numpy()
    shared = COMPILED.index(kind), z.numpy(), _norm(z, kind), start, col.numpy()
    args = out.numpy(), energy.numpy(), *shared, _numpy(weight, z)
    over_rows(rows_apart, start, z.size(1), *args)


def _numpy(x: Tensor | None, z: Tensor) -> np.ndarray:
    """One 1 for what is not there: one type of argument, so one compiled loop."""
    return (z.new_ones(1) if x is None else x).numpy()


def _norm(z: Tensor, kind: str) -> np.ndarray:
    return _numpy(inverse_norm(z) if kind == "cosine" else None, z)


def _cut(size: int, parts: int) -> list[tuple[int, int]]:
    edges = [size * p // parts for p in range(parts + 1)]
    return list(itertools.pairwise(edges))


def _columns(z: Tensor, entries: int) -> list[tuple[int, int]]:
    """Columns of each thread, in whole cache lines."""
    step, dim = _LINE // z.itemsize, z.size(1)
    lines = -(-dim // step)
    threads = min(torch.get_num_threads(), lines) if entries * dim >= SMALL else 1
    return [(a * step, min(dim, b * step)) for a, b in _cut(lines, threads)]
