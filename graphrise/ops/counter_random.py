"""Random numbers that are a function of their address: no state, so any worker draws the same."""

from __future__ import annotations

from typing import Any

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_U64_GOLDEN = np.uint64(_GOLDEN)
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_WORD = 2**64 - 1


def _mix(x: Any) -> Any:
    """Finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection on 64-bit words.

    The array is changed in place: a fresh one per step costs more than the arithmetic.
    """
    x ^= x >> 30
    x *= _MIX_1
    x ^= x >> 27
    x *= _MIX_2
    x ^= x >> 31
    return x


def _mix_int(x: int) -> int:
    """The same of a single word: on Python's numbers it takes a tenth of the time."""
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
        word = _mix_int(word + _GOLDEN) if isinstance(word, int) else _mix(word + _U64_GOLDEN)
        if isinstance(word, int) and isinstance(state, int):
            state = _mix_int(word + state + _GOLDEN)
        elif isinstance(state, int):
            state = _mix(word + np.uint64(state + _GOLDEN & _WORD))
        elif isinstance(word, int):
            state = _mix(state + np.uint64(word + _GOLDEN & _WORD))
        else:
            state = _mix(word + (state + _U64_GOLDEN))
    return np.asarray(state, dtype=np.uint64)


def _word(part: int | np.ndarray) -> int | np.ndarray:
    """A number as Python's, an array as uint64."""
    return int(part) if np.ndim(part) == 0 else np.asarray(part).astype(np.uint64, copy=False)


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
