"""All that goes into a batch: labelled images, unlabelled ones, and images for the bank."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from graphrise.errors import ConfigError
from graphrise.loader.order import OTHER_STREAM, SWEEP_STREAM, EvenBatches
from graphrise.ops.permutation import permuted

_NONE = np.empty(0, dtype=np.int64)


class BatchPlan(Sampler[list[int]]):
    """The batches of an epoch as PyG's loader takes them: lists of numbers, one an image.

    A number is `role * num_nodes + node`; `roles` takes it apart. Every batch is a function of
    (seed, epoch, number), so iteration may start anywhere (`first`) and ranks do not overlap.

    Attributes:
        batches: The labelled images' part, which sets how many batches there are.
        first: Number of the batch that the next iteration begins with.
        numbers: Every number of a plan is below it.
    """

    def __init__(
        self,
        batches: EvenBatches,
        nodes: np.ndarray,
        num_nodes: int,
        *,
        unlabelled: np.ndarray = _NONE,
        ratio: float = 0.0,
        sweep_every: int | None = None,
        sweep_size: int = 0,
        seed: int = 0,
    ) -> None:
        """Plan batches.

        Args:
            batches: Of positions in `nodes`.
            nodes: int64 `[L]`, the labelled images' nodes.
            num_nodes: N of the graph.
            unlabelled: int64 `[U]`, the unlabelled images' nodes.
            ratio: Unlabelled images per labelled one of a batch, whose own edges count; each is
                seen once before any is seen again in an epoch.
            sweep_every: Every so many batches `sweep_size` unlabelled images are encoded for the
                bank, in a fixed random order that goes on over the epochs; None: never. Labelled
                images pass anyway.
            sweep_size: See there; per rank.
            seed: The orders follow from it.

        Raises:
            ConfigError: A number is out of range.
        """
        if ratio < 0 or (sweep_every is not None and (sweep_every < 1 or sweep_size < 1)):
            raise ConfigError(
                "plan: ratio must not be negative, sweep_every and sweep_size at least 1; got "
                f"{ratio}, {sweep_every} and {sweep_size}"
            )
        self.batches, self.first = batches, 0
        self.numbers = 3 * num_nodes
        self._nodes, self._num_nodes, self._unlabelled = nodes, num_nodes, unlabelled
        self._ratio = ratio if unlabelled.size else 0.0
        self._every = sweep_every if unlabelled.size else None
        self._size, self._seed = sweep_size, seed

    @property
    def sampler(self) -> BatchPlan:
        """Itself: Lightning looks for `set_epoch` here."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch before iterating."""
        self.batches.epoch = epoch

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return (self.codes(b).tolist() for b in range(self.first, len(self)))

    def codes(self, number: int) -> np.ndarray:
        """Numbers of the images of a batch of the present epoch, int64."""
        seeds = self._nodes[self.batches.batch(number)]
        others, sweep = self._others(number), self._swept(number)
        return np.concatenate((seeds, others + self._num_nodes, sweep + 2 * self._num_nodes))

    def _others(self, number: int) -> np.ndarray:
        first, last = (int(b * self._ratio) for b in self.batches.bounds(number))
        if last == first:
            return _NONE
        place, parts = np.arange(first, last), []
        length = self._unlabelled.size
        for lap in range(first // length, (last - 1) // length + 1):
            of_lap = place[place // length == lap] % length
            address = (self._seed, OTHER_STREAM, self.batches.epoch, lap)
            parts.append(permuted(of_lap, length, *address))
        return self._unlabelled[np.unique(np.concatenate(parts))]

    def _swept(self, number: int) -> np.ndarray:
        passed = self.batches.epoch * len(self) + number
        if self._every is None or passed % self._every:
            return _NONE
        sweep = passed // self._every * self.batches.world_size + self.batches.rank
        place = (sweep * self._size + np.arange(self._size)) % self._unlabelled.size
        found = permuted(place, self._unlabelled.size, self._seed, SWEEP_STREAM)
        return self._unlabelled[np.unique(found)]


def roles(codes: np.ndarray, num_nodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labelled images, unlabelled ones and those for the bank, from a plan's numbers."""
    role, node = np.divmod(codes, max(num_nodes, 1))
    return node[role == 0], node[role == 1], node[role == 2]
