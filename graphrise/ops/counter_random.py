"""Random numbers that are a function of their address: no state, so any worker draws the same."""

from __future__ import annotations

from typing import Any

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _mix(x: Any) -> Any:
    """Finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection on 64-bit words.

    An array is changed in place: a fresh one per step costs more than the arithmetic.
    """
    x ^= x >> np.uint64(30)
    x *= _MIX_1
    x ^= x >> np.uint64(27)
    x *= _MIX_2
    x ^= x >> np.uint64(31)
    return x


def counter_bits(*address: int | np.ndarray, after: np.ndarray | None = None) -> np.ndarray:
    """64 random bits each, determined by their address alone.

    Args:
        address: Non-negative integers or integer arrays, broadcast against each other; for
            example `(seed, epoch, draw[None, :], node[:, None])`. Order matters.
        after: What this function gave for the parts before these, so that they are mixed once:
            `counter_bits(node, after=counter_bits(seed))` is `counter_bits(seed, node)`.

    Returns:
        uint64 array of the broadcast shape.
    """
    state: Any = np.uint64(0) if after is None else after
    with np.errstate(over="ignore"):
        for part in address:
            word = _mix(np.asarray(part).astype(np.uint64) + _GOLDEN)
            state = _mix(word + (state + _GOLDEN))
    return np.asarray(state)


def counter_uniform(*address: int | np.ndarray) -> np.ndarray:
    """Uniform numbers in [0, 1), each determined by its address alone.

    Args:
        address: As in `counter_bits`.

    Returns:
        float64 array of the broadcast shape, 53 random bits each.
    """
    bits = counter_bits(*address)
    bits >>= np.uint64(11)
    return bits * 2.0**-53
