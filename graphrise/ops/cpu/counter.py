"""The numbers of `counter_random` and the orders of `permutation`, compiled.

In one file: numba's cache of a loop looks at the file of that loop alone.
"""

from __future__ import annotations

import numpy as np

from graphrise.ops.cpu.inlined import inlined
from graphrise.ops.cpu.jit import compiled, elementwise

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)


@inlined
def _mix(x: np.uint64) -> np.uint64:
    """Finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection on 64-bit words."""
    x ^= x >> _30
    x *= _MIX_1
    x ^= x >> _27
    x *= _MIX_2
    return x ^ (x >> _31)


@elementwise("uint64(uint64, uint64)")
def joined(word: np.uint64, state: np.uint64) -> np.uint64:
    """The state after one more part of an address, of arrays that broadcast."""
    return _mix(_mix(word + _GOLDEN) + state + _GOLDEN)


@compiled
def walk(place: np.ndarray, keys: np.ndarray, half: int, length: int, out: np.ndarray) -> None:
    """Send places through a Feistel network until they land below `length`.

    Args:
        place: uint64 `[B]`, below `length`.
        keys: uint64 `[R]`, one a round.
        half: Half the bits of the numbers that the network permutes.
        length: Above 0, at most 2^(2 half).
        out: uint64 `[B]`, filled.
    """
    bits, drop, end = np.uint64(half), np.uint64(64 - half), np.uint64(length)
    mask = (np.uint64(1) << bits) - np.uint64(1)
    for i in range(place.size):
        value = place[i]
        while True:
            left, right = value >> bits, value & mask
            for r in range(keys.size):
                drawn = _mix(_mix(right + _GOLDEN) + keys[r] + _GOLDEN) >> drop
                left, right = right, left ^ drawn
            value = (left << bits) | right
            if value < end:
                break
        out[i] = value
