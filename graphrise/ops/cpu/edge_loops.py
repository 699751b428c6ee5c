"""Loops over edges: distances, and gradients of both ends, with nothing kept of an edge's length.

Rows are asked for some edges ahead, since most of the time would go by waiting for them.
"""

from __future__ import annotations

import math

import numpy as np

from graphrise.ops.cpu.inlined import inlined
from graphrise.ops.cpu.jit import compiled
from graphrise.ops.cpu.prefetch import AHEAD, fetch
from graphrise.ops.edge_kinds import COMPILED

SQUARED_L2, L2, L1, COSINE = range(len(COMPILED))


@inlined
def _distance(kind: int, z: np.ndarray, norm: np.ndarray, i: int, j: int) -> float:
    u, v = z[i], z[j]
    total = z.dtype.type(0)
    if kind == COSINE:
        for d in range(u.size):
            total += u[d] * v[d]
        return z.dtype.type(1) - total * norm[i] * norm[j]
    if kind == L1:
        for d in range(u.size):
            total += abs(u[d] - v[d])
        return total
    for d in range(u.size):
        apart = u[d] - v[d]
        total += apart * apart
    return math.sqrt(total) if kind == L2 else total


@compiled
def rows_apart(
    first: int,
    last: int,
    out: np.ndarray,
    energy: np.ndarray,
    kind: int,
    z: np.ndarray,
    norm: np.ndarray,
    rowptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
) -> None:
    """Distance of every entry where `out` has room, weighted sum of a row where `energy` has."""
    end = rowptr[last]
    step = 1 if weight.size == col.size else 0
    for i in range(first, last):
        total = 0.0
        for e in range(rowptr[i], rowptr[i + 1]):
            if e + AHEAD < end:
                fetch(z, col[e + AHEAD], 0, z.shape[1])
            far = _distance(kind, z, norm, i, col[e])
            total += np.float64(weight[e * step]) * np.float64(far)
            if out.size:
                out[e] = far
        if energy.size:
            energy[i] = total


@compiled
def pairs_apart(
    first: int,
    last: int,
    out: np.ndarray,
    kind: int,
    z: np.ndarray,
    norm: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
) -> None:
    """Distance of every pair."""
    for e in range(first, last):
        if e + AHEAD < last:
            fetch(z, u[e + AHEAD], 0, z.shape[1])
            fetch(z, v[e + AHEAD], 0, z.shape[1])
        out[e] = _distance(kind, z, norm, u[e], v[e])


@inlined
def _pull(
    kind: int,
    to_u: np.ndarray,
    to_v: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    of_u: float,
    of_v: float,
    far: float,
    upstream: float,
) -> None:
    """Add the gradients of `upstream * far`; `of_u`, `of_v` are one over the norms."""
    c = upstream
    if kind == COSINE:
        cross = u.dtype.type((c * of_u) * of_v)
        along = c * (1 - far)
        by_u, by_v = u.dtype.type(along * of_u * of_u), u.dtype.type(along * of_v * of_v)
        for d in range(u.size):
            x, y = u[d], v[d]
            to_u[d] += by_u * x - cross * y
            to_v[d] += by_v * y - cross * x
    elif kind == L1:
        up = u.dtype.type(c)
        for d in range(u.size):
            y = up * np.sign(u[d] - v[d])
            to_u[d] += y
            to_v[d] -= y
    else:
        if kind == SQUARED_L2:
            c = 2 * c
        elif far > 0:
            c = c / far
        else:
            c = 0.0
        up = u.dtype.type(c)
        for d in range(u.size):
            y = up * (u[d] - v[d])
            to_u[d] += y
            to_v[d] -= y


@compiled
def pull_columns(
    first: int,
    last: int,
    grad: np.ndarray,
    kind: int,
    z: np.ndarray,
    norm: np.ndarray,
    far: np.ndarray,
    rowptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    scale: float,
) -> None:
    """Gradient to some columns of both ends; what the row itself gets is written once."""
    own = np.zeros(last - first, z.dtype)
    step = 1 if weight.size == col.size else 0
    # Of the kinds that need neither there is one of each.
    far_step, norm_step = min(1, far.size - 1), min(1, norm.size - 1)
    for i in range(rowptr.size - 1):
        own[:] = 0
        u = z[i, first:last]
        for e in range(rowptr[i], rowptr[i + 1]):
            if e + AHEAD < col.size:
                fetch(z, col[e + AHEAD], first, last)
                fetch(grad, col[e + AHEAD], first, last)
            j = col[e]
            v, to_v = z[j, first:last], grad[j, first:last]
            up, apart = scale * weight[e * step], far[e * far_step]
            _pull(kind, own, to_v, u, v, norm[i * norm_step], norm[j * norm_step], apart, up)
        to_u = grad[i, first:last]
        for d in range(own.size):
            to_u[d] += own[d]


@compiled
def pull_pairs(
    first: int,
    last: int,
    grad: np.ndarray,
    kind: int,
    z: np.ndarray,
    norm: np.ndarray,
    far: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    weight: np.ndarray,
) -> None:
    """Gradient to some columns of both ends of pairs in any order."""
    far_step, norm_step = min(1, far.size - 1), min(1, norm.size - 1)
    for e in range(u.size):
        if e + AHEAD < u.size:
            for k in (u[e + AHEAD], v[e + AHEAD]):
                fetch(z, k, first, last)
                fetch(grad, k, first, last)
        i, j = u[e], v[e]
        of_u, of_v = norm[i * norm_step], norm[j * norm_step]
        to_u, to_v = grad[i, first:last], grad[j, first:last]
        apart, up = far[e * far_step], weight[e]
        _pull(kind, to_u, to_v, z[i, first:last], z[j, first:last], of_u, of_v, apart, up)


@compiled
def pull_rows(
    first: int,
    last: int,
    grad: np.ndarray,
    kind: int,
    z: np.ndarray,
    norm: np.ndarray,
    rowptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    scale: float,
) -> None:
    """Gradient to a row from its own entries alone: the reverse of each is one of them too.

    What the other ends get is dropped.
    """
    end = rowptr[last]
    step, norm_step = 1 if weight.size == col.size else 0, min(1, norm.size - 1)
    rest = np.zeros(z.shape[1], z.dtype)
    for i in range(first, last):
        for e in range(rowptr[i], rowptr[i + 1]):
            if e + AHEAD < end:
                fetch(z, col[e + AHEAD], 0, z.shape[1])
            j = col[e]
            far = z.dtype.type(0)
            if kind in (L2, COSINE):
                far = _distance(kind, z, norm, i, j)
            up = 2 * scale * weight[e * step]
            of_u, of_v = norm[i * norm_step], norm[j * norm_step]
            _pull(kind, grad[i], rest, z[i], z[j], of_u, of_v, far, up)
