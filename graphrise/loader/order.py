"""Which labelled images make up a batch: a function of (seed, epoch, number)."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from graphrise.errors import ConfigError
from graphrise.ops.permutation import permuted

_TABLE = 1 << 20
SEED_STREAM, OTHER_STREAM, SWEEP_STREAM = 2, 4, 5  # apart from the neighbour draws of a seed


class Order(Protocol):
    """A random order of `len()` things, anew every epoch."""

    def __len__(self) -> int:
        """Things in it."""
        ...

    def at(self, epoch: int, place: np.ndarray) -> np.ndarray:
        """Things at some places of an epoch's order, both int64 `[B]`."""
        ...


class Shuffled:
    """An epoch is a random permutation, a function of (seed, epoch).

    No table is made of a large one: a batch of it costs what a batch costs.
    """

    def __init__(self, length: int, seed: int, stream: int = SEED_STREAM) -> None:
        """Order `0 .. length - 1`; orders of other streams are other orders."""
        self._length, self._address = length, (seed, stream)
        self._epoch, self._table = -1, np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return self._length

    def at(self, epoch: int, place: np.ndarray) -> np.ndarray:
        """Things at some places of an epoch's order, both int64 `[B]`."""
        if self._length > _TABLE:
            return permuted(place, self._length, *self._address, epoch)
        if epoch != self._epoch:
            # Of a small one the table is made at once: half a millisecond a batch less.
            everything = np.arange(self._length)
            self._table = permuted(everything, self._length, *self._address, epoch)
            self._epoch = epoch
        return self._table[place]


class EvenBatches:
    """The batches of an epoch, of sizes that differ by one at most.

    A remainder of a single image would stop batch normalisation, and a small one weigh its images
    more than the others; every labelled image is still seen once. Batch b is a function of (order,
    epoch, b), and ranks take parts of the same batch.

    Attributes:
        epoch: The epoch that is cut.
        rank: Which part of every batch is given.
        world_size: Parts of every batch.
    """

    def __init__(
        self, order: Order, batch_size: int, *, rank: int = 0, world_size: int = 1
    ) -> None:
        """Cut the order into as few batches of at most `batch_size` a rank as there can be.

        One image more per batch is allowed where a single image would be left.

        Args:
            order: Of the labelled images.
            batch_size: Images per batch and rank, at most.
            rank: Which part of every batch is given, in `[0, world_size)`.
            world_size: Parts; their sizes differ by one at most, and no image is in two.

        Raises:
            ConfigError: A number is out of range, or there are fewer images than ranks.
        """
        if batch_size < 1 or not 0 <= rank < world_size:
            raise ConfigError(
                f"batches: batch_size must be at least 1 and rank in [0, world_size), got "
                f"{batch_size}, rank {rank} of {world_size}"
            )
        length, whole = len(order), batch_size * world_size
        if 0 < length < world_size:
            raise ConfigError(f"batches: {length} labelled images for {world_size} ranks")
        self._order, self.rank, self.world_size = order, rank, world_size
        self._batches = -(-length // whole)
        least = world_size * min(batch_size, 2)
        if self._batches and length // self._batches < least:
            self._batches = max(length // least, 1)
        self.epoch = 0

    def __len__(self) -> int:
        return self._batches

    def bounds(self, number: int) -> tuple[int, int]:
        """First place and end of this rank's part of a batch."""
        length, parts = len(self._order), self._batches * self.world_size
        part = number * self.world_size + self.rank
        return part * length // parts, (part + 1) * length // parts

    def batch(self, number: int) -> np.ndarray:
        """Labelled images of a batch of the present epoch, int64 `[B]`, by their position."""
        return self._order.at(self.epoch, np.arange(*self.bounds(number)))
