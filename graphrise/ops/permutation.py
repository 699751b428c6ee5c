"""A random order that is a function of its address: any part of it without the rest."""

from __future__ import annotations

import numpy as np

from graphrise.ops.counter_random import counter_bits

_ROUNDS = 6


def permuted(place: np.ndarray, length: int, *address: int) -> np.ndarray:
    """What stands at some places of a random order of `0 .. length - 1`.

    A Feistel network over the next power of four, walked until it lands below `length` (Black and
    Rogaway, CT-RSA 2002): no table, so an epoch over 260 million images costs what a batch of it
    costs, and can be entered anywhere.

    Args:
        place: int64 `[B]` in `[0, length)`.
        length: Below 2^62.
        address: Non-negative integers; each address has an order of its own.

    Returns:
        int64 `[B]` in `[0, length)`; over all places, each value once.
    """
    half = max(1, (max(length - 1, 1).bit_length() + 1) // 2)
    keys = [counter_bits(*address, r) for r in range(_ROUNDS)]
    value = _feistel(place.astype(np.uint64), keys, half)
    outside = np.flatnonzero(value >= length)
    while outside.size:
        walked = _feistel(value[outside], keys, half)
        value[outside] = walked
        outside = outside[walked >= length]
    return value.astype(np.int64)


def _feistel(value: np.ndarray, keys: list[np.ndarray], half: int) -> np.ndarray:
    """A bijection on the numbers of `2 half` bits."""
    bits, mask, drop = np.uint64(half), np.uint64((1 << half) - 1), np.uint64(64 - half)
    left, right = value >> bits, value & mask
    for key in keys:
        left, right = right, left ^ (counter_bits(right, after=key) >> drop)
    return left << bits | right
