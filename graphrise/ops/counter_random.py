"""Random numbers that are a function of their address: no state, so any worker draws the same."""

from __future__ import annotations

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_WORD = 2**64 - 1


def _mix(x: int) -> int:
    """`ops.cpu.counter`'s of a single word: on Python's numbers it takes less time than a call."""
    x &= _WORD
    x = (x ^ x >> 30) * _MIX_1 & _WORD
    x = (x ^ x >> 27) * _MIX_2 & _WORD
    return x ^ x >> 31


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
    state: int | np.ndarray = 0 if after is None else _word(after)
    for part in address:
        word = _word(part)
        if isinstance(word, int) and isinstance(state, int):
            state = _mix(_mix(word + _GOLDEN) + state + _GOLDEN)
        else:
            # Here: what only needs a number or two is spared the compiler.
            from graphrise.ops.cpu.counter import joined

            state = joined(_array(word), _array(state))
    return np.asarray(state, dtype=np.uint64)


def _word(part: int | np.ndarray) -> int | np.ndarray:
    """A number as Python's, an array as uint64."""
    if isinstance(part, int):
        return part
    return int(part) if np.ndim(part) == 0 else np.asarray(part).astype(np.uint64, copy=False)


def _array(part: int | np.ndarray) -> np.ndarray | np.uint64:
    return np.uint64(part & _WORD) if isinstance(part, int) else part


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
