"""Memory of batches, used again when the batch over it is gone."""

from __future__ import annotations

import math
import weakref
from collections import deque

import numpy as np

_KEPT = 4
_SLACK = 8


class Recycled:
    """Gives uint8 arrays; the memory of one that nobody holds any more is given again.

    A batch of pictures is larger than what malloc keeps, so that the kernel would have to clear
    every page of it anew: a twentieth of the time to decode it. Up to four blocks wait here.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._free: deque[np.ndarray] = deque(maxlen=_KEPT)

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array of any content, uint8, contiguous.

        It goes back when it is garbage: views of it that tensors and others keep, keep it.
        """
        size = math.prod(shape)
        try:
            block = self._free.pop()
        except IndexError:
            block = None
        if block is None or block.size < size:
            # Batches differ by their neighbours; the next one shall fit as well.
            block = np.empty(size + size // _SLACK, dtype=np.uint8)
        # The base of a view of a view is the first of them. This memoryview makes it one that ends
        # with the last array over this memory, where the block itself does not.
        whole = np.frombuffer(block[:size].data, dtype=np.uint8)
        weakref.finalize(whole, self._free.append, block).atexit = False
        return whole.reshape(shape)
