"""Values of an Arrow binary array without copies."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


class BinaryView:
    """Random access to the values of a binary or large_binary array.

    Arrow's own scalars are copies of their value.
    """

    def __init__(self, array: pa.Array) -> None:
        """Keep the array's buffers; of a mapped file nothing but the offsets is read later on."""
        width = np.int64 if pa.types.is_large_binary(array.type) else np.int32
        _, offsets, values = array.buffers()
        self._offsets = np.frombuffer(offsets or bytes(8), width)[array.offset :]
        self._values = memoryview(values or b"").cast("B")
        # Read once: bit by bit it is slow.
        self._valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None

    def __getitem__(self, row: int) -> memoryview | None:
        if self._valid is not None and not self._valid[row]:
            return None
        return self._values[self._offsets[row] : self._offsets[row + 1]]
