"""Random numbers that are a function of their address: no state, so any worker draws the same."""

from __future__ import annotations

from typing import Any

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _mix(x: Any) -> Any:
    """Finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection on 64-bit words."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


def counter_uniform(*address: int | np.ndarray) -> np.ndarray:
    """Uniform numbers in [0, 1), each determined by its address alone.

    Args:
        address: Non-negative integers or integer arrays, broadcast against each other; for
            example `(seed, epoch, node[:, None], draw[None, :])`. Order matters.

    Returns:
        float64 array of the broadcast shape, 53 random bits each.
    """
    state = np.uint64(0)
    with np.errstate(over="ignore"):
        for part in address:
            state = _mix(state + _GOLDEN + _mix(np.asarray(part).astype(np.uint64) + _GOLDEN))
    return np.asarray((state >> np.uint64(11)).astype(np.float64) * 2.0**-53)
