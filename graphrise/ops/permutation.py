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
    from graphrise.ops.cpu.counter import walk

    half = max(1, (max(length - 1, 1).bit_length() + 1) // 2)
    keys = counter_bits(*address, np.arange(_ROUNDS))
    place = place.astype(np.uint64)
    walk(place, keys, half, length, place)
    return place.astype(np.int64)
