"""Distances along edges and their gradients: a program for each row of a CSR graph."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrise.ops import edge_blocks
from graphrise.ops.csr import csr_transpose
from graphrise.ops.edge_kinds import COMPILED, inverse_norm
from graphrise.ops.triton.csr import bounds
from graphrise.ops.triton.device import device_of
from graphrise.ops.triton.dtypes import wide

SQUARED_L2, L2, L1, COSINE = (tl.constexpr(kind) for kind in range(len(COMPILED)))
_TILE = 1024
"""Numbers of neighbours' rows that a program holds at a time: 16 entries of 64."""
_MOST = 16
"""Entries at a time at most: what an image has of neighbours."""


@triton.jit
def _apart(own, rows, of_own, of_rows, KIND: tl.constexpr):
    """Distances `[ENTRIES]` of a row to others; `of_own`, `of_rows` are one over the norms."""
    if KIND == COSINE:
        return 1 - tl.sum(rows * own[None, :], axis=1) * of_own * of_rows
    apart = own[None, :] - rows
    if KIND == L1:
        return tl.sum(tl.abs(apart), axis=1)
    far = tl.sum(apart * apart, axis=1)
    if KIND == L2:
        far = tl.sqrt(far)
    return far


@triton.jit
def _pulls(own, rows, of_own, of_rows, upstream, KIND: tl.constexpr):
    """Gradients of `upstream * distance` to the own row and to the others, `[ENTRIES, DIM]`."""
    if KIND == COSINE:
        cosine = tl.sum(rows * own[None, :], axis=1) * of_own * of_rows
        cross = ((upstream * of_own) * of_rows)[:, None]
        along = upstream * cosine
        to_own = (along * of_own * of_own)[:, None] * own[None, :] - cross * rows
        to_rows = (along * of_rows * of_rows)[:, None] * rows - cross * own[None, :]
    else:
        apart = own[None, :] - rows
        if KIND == L1:
            to_own = upstream[:, None] * ((apart > 0).to(own.dtype) - (apart < 0).to(own.dtype))
        elif KIND == L2:
            far = tl.sqrt(tl.sum(apart * apart, axis=1))
            to_own = tl.where(far > 0, upstream / tl.where(far > 0, far, 1), 0)[:, None] * apart
        else:
            to_own = (2 * upstream)[:, None] * apart
        to_rows = -to_own
    return to_own, to_rows


@triton.jit
def apart_kernel(
    out,
    z,
    norm,
    rowptr,
    col,
    weight,
    num_z,
    entries,
    dim,
    KIND: tl.constexpr,
    HAS_WEIGHT: tl.constexpr,
    EACH: tl.constexpr,
    WIDE: tl.constexpr,
    ENTRIES: tl.constexpr,
    DIM: tl.constexpr,
):
    """Distances of a row's entries: `out[e]` of EACH, else `out[row]`, their weighted sum."""
    row = tl.program_id(0).to(tl.int64)
    begin, end = bounds(rowptr, row, True, entries)
    place = tl.arange(0, DIM)
    inside = place < dim
    own = tl.load(z + row * dim + place, mask=inside, other=0.0).to(WIDE)
    of_own = tl.load(norm + row).to(WIDE) if KIND == COSINE else 0.0
    # A row can have millions of entries.
    total = tl.zeros([ENTRIES], dtype=tl.float64)
    for start in range(begin, end, ENTRIES):
        entry = start + tl.arange(0, ENTRIES)
        there = entry < end
        to = tl.load(col + entry, mask=there, other=0).to(tl.int64)
        there = there & (to >= 0) & (to < num_z)
        mask = there[:, None] & inside[None, :]
        rows = tl.load(z + to[:, None] * dim + place[None, :], mask=mask, other=0.0).to(WIDE)
        of_rows = tl.zeros([ENTRIES], dtype=WIDE)
        if KIND == COSINE:
            of_rows = tl.load(norm + to, mask=there, other=0.0).to(WIDE)
        far = _apart(own, rows, of_own, of_rows, KIND)
        if EACH:
            tl.store(out + entry, far, mask=there)
        else:
            if HAS_WEIGHT:
                far *= tl.load(weight + entry, mask=there, other=0.0).to(WIDE)
            total += tl.where(there, far, 0.0).to(tl.float64)
    if not EACH:
        tl.store(out + row, tl.sum(total, axis=0).to(WIDE))


@triton.jit
def pull_kernel(
    grad,
    z,
    norm,
    rowptr,
    col,
    weight,
    scale,
    num_z,
    entries,
    dim,
    KIND: tl.constexpr,
    HAS_WEIGHT: tl.constexpr,
    FACTOR: tl.constexpr,
    ATOMIC: tl.constexpr,
    WIDE: tl.constexpr,
    ENTRIES: tl.constexpr,
    DIM: tl.constexpr,
):
    """Add to `grad[row]`, FACTOR times, what the row gets from its entries; ATOMIC: to theirs too.

    Not ATOMIC, nobody else writes to the row.
    """
    row = tl.program_id(0).to(tl.int64)
    begin, end = bounds(rowptr, row, True, entries)
    place = tl.arange(0, DIM)
    inside = place < dim
    own = tl.load(z + row * dim + place, mask=inside, other=0.0).to(WIDE)
    of_own = tl.load(norm + row).to(WIDE) if KIND == COSINE else 0.0
    factor = FACTOR * tl.load(scale).to(WIDE)
    total = tl.zeros([DIM], dtype=WIDE)
    for start in range(begin, end, ENTRIES):
        entry = start + tl.arange(0, ENTRIES)
        there = entry < end
        to = tl.load(col + entry, mask=there, other=0).to(tl.int64)
        there = there & (to >= 0) & (to < num_z)
        mask = there[:, None] & inside[None, :]
        rows = tl.load(z + to[:, None] * dim + place[None, :], mask=mask, other=0.0).to(WIDE)
        of_rows = tl.zeros([ENTRIES], dtype=WIDE)
        if KIND == COSINE:
            of_rows = tl.load(norm + to, mask=there, other=0.0).to(WIDE)
        upstream = tl.where(there, factor, 0.0)
        if HAS_WEIGHT:
            upstream *= tl.load(weight + entry, mask=there, other=0.0).to(WIDE)
        to_own, to_rows = _pulls(own, rows, of_own, of_rows, upstream, KIND)
        total += tl.sum(to_own, axis=0)
        if ATOMIC:
            at = grad + to[:, None] * dim + place[None, :]
            tl.atomic_add(at, to_rows, mask=mask, sem="relaxed")
    at = grad + row * dim + place
    if ATOMIC:
        tl.atomic_add(at, total, mask=inside, sem="relaxed")
    else:
        tl.store(at, tl.load(at, mask=inside, other=0.0) + total, mask=inside)


def energy(z: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor | None, kind: str) -> Tensor:
    """Sum of weights and distances, a float64 scalar; contiguous tensors of one device."""
    rows = z.new_empty(rowptr.numel() - 1, dtype=edge_blocks.wide(z.dtype))
    _over_rows(rows, z, rowptr, col, weight, kind, each=False)
    return rows.sum(dtype=torch.float64)


def row_distances_(out: Tensor, z: Tensor, rowptr: Tensor, col: Tensor, kind: str) -> None:
    """Write the distance of every entry, `[E]`; tensors as above."""
    _over_rows(out, z, rowptr, col, None, kind, each=True)


def pull_(
    grad: Tensor,
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    scale: Tensor | None,
    kind: str,
    symmetric: bool,
) -> None:
    """Add to `grad` `[N, D]` the gradient of `scale * energy`.

    It is of the wide dtype; that of a symmetric graph, where a row is added to once, may be of z's.
    """
    norm = inverse_norm(z.to(edge_blocks.wide(z.dtype))) if kind == "cosine" else z
    scale = grad.new_ones(()) if scale is None else scale
    deterministic = torch.are_deterministic_algorithms_enabled()
    entries, dim, warps = _tile(z)

    def add(rowptr: Tensor, col: Tensor, weight: Tensor | None) -> None:
        with device_of(grad):
            pull_kernel[(z.size(0),)](
                grad,
                z,
                norm,
                rowptr,
                col,
                z if weight is None else weight,
                scale,
                z.size(0),
                col.numel(),
                z.size(1),
                KIND=COMPILED.index(kind),  # pyright: ignore[reportArgumentType]
                HAS_WEIGHT=weight is not None,
                FACTOR=2 if symmetric else 1,
                ATOMIC=not (symmetric or deterministic),
                WIDE=wide(z.dtype),
                ENTRIES=entries,
                DIM=dim,
                num_warps=warps,  # pyright: ignore[reportCallIssue]
            )

    add(rowptr, col, weight)
    if deterministic and not symmetric:
        # The distances have no direction, so the other ends are rows of the transposed graph.
        start, row, order = csr_transpose(rowptr, col, z.size(0))
        add(start, row, None if weight is None else weight[order])


def _over_rows(
    out: Tensor,
    z: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    kind: str,
    each: bool,
) -> None:
    norm = inverse_norm(z.to(edge_blocks.wide(z.dtype))) if kind == "cosine" else z
    entries, dim, warps = _tile(z)
    with device_of(out):
        apart_kernel[(z.size(0),)](
            out,
            z,
            norm,
            rowptr,
            col,
            z if weight is None else weight,
            z.size(0),
            col.numel(),
            z.size(1),
            KIND=COMPILED.index(kind),  # pyright: ignore[reportArgumentType]
            HAS_WEIGHT=weight is not None,
            EACH=each,
            WIDE=wide(z.dtype),
            ENTRIES=entries,
            DIM=dim,
            num_warps=warps,  # pyright: ignore[reportCallIssue]
        )


def _tile(z: Tensor) -> tuple[int, int, int]:
    """Entries, columns and warps of a program."""
    dim = triton.next_power_of_2(max(1, z.size(1)))
    entries = max(1, min(_MOST, _TILE // dim))
    return entries, dim, max(1, min(8, entries * dim // _TILE))
