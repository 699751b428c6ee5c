"""The search of weighted draws in rows' running shares, compiled."""

from __future__ import annotations

import numpy as np

from graphrise.ops.cpu.jit import compiled
from graphrise.ops.cpu.prefetch import fetch

_AHEAD = 16
"""Rows between asking for one's shares and searching them."""


@compiled
def search(
    cumulative: np.ndarray,
    start: np.ndarray,
    degree: np.ndarray,
    point: np.ndarray,
    found: np.ndarray,
) -> None:
    """Find the draws `[B, k]` of B rows in `cumulative` `[1, E]`, as `draws.first_above` says."""
    for row in range(start.size):
        if row + _AHEAD < start.size:
            first = start[row + _AHEAD]
            fetch(cumulative, 0, first, first + degree[row + _AHEAD])
        for draw in range(point.shape[1]):
            at, left, value = start[row], degree[row], point[row, draw]
            while left > 1:
                half = left >> 1
                # Added or not, without a branch: which way a draw goes nobody can foresee.
                at += half * (cumulative[0, at + half - 1] <= value)
                left -= half
            found[row, draw] = at
