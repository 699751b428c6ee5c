"""Which labelled images make up a batch: a function of (seed, epoch, number)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from graphrise.loader.sampler import PairSampler
from graphrise.ops.counter_random import counter_uniform

_STREAM = 2  # apart from the neighbour draws of the same seed


class EpochOrder(Sampler[int]):
    """An epoch is a permutation of the labelled images, a function of (seed, epoch)."""

    def __init__(self, length: int, seed: int, sampler: PairSampler) -> None:
        """Order `length` seeds; `sampler` follows the epoch."""
        self._length, self._seed, self._sampler = length, seed, sampler
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation and the neighbour draws of an epoch, before iterating."""
        self._epoch = epoch
        self._sampler.epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        u = counter_uniform(self._seed, _STREAM, self._epoch, np.arange(self._length))
        return iter(np.argsort(u, kind="stable").tolist())


class EvenBatches(Sampler[list[int]]):
    """Batches of an epoch whose sizes differ by one at most.

    A remainder of a single image would stop batch normalisation, and a small one weigh its images
    more than the others; every image is still seen once.

    Attributes:
        sampler: The epoch's order; Lightning looks for it here to set the epoch.
    """

    def __init__(self, sampler: EpochOrder, batch_size: int) -> None:
        """Cut the order into as few batches of at most `batch_size` as there can be.

        One image more per batch is allowed where a single image would be left.
        """
        self.sampler = sampler
        length = len(sampler)
        self._batches = -(-length // batch_size)
        if batch_size > 1 and self._batches and length // self._batches == 1:
            self._batches = max(length // 2, 1)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch before iterating. Lightning does it; a plain loop must."""
        self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        order = np.fromiter(self.sampler, dtype=np.int64, count=len(self.sampler))
        return (part.tolist() for part in np.array_split(order, max(len(self), 1)) if part.size)
