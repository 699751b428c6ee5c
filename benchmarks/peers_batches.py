"""Batches of (picture, label) for losses that know no graph, read and augmented by graphrise.

A function of the seed: which images, in which order, and every augmentation.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphrise.images.reader import ImageReader
from graphrise.loader.augment import Augment, augment_draws
from graphrise.loader.order import EvenBatches, Shuffled
from graphrise.ops.counter_random import counter_bits

_STREAM = 40
"""Apart from the streams of the loader."""

Picked = tuple[np.ndarray, np.ndarray]
"""Positions of a batch's images, int64 `[B]`, and of each which view of that image it is: 0 the
first, 1 the second of the same batch."""


@dataclass(frozen=True)
class PeerBatch:
    """What a step sees.

    Attributes:
        x: float32 `[B, 3, S, S]`, augmented and normalised, channels_last.
        label: int64 `[B]`.
    """

    x: Tensor
    label: Tensor


def distinct(count: int, size: int, seed: int) -> Iterator[Picked]:
    """Batches of at most `size` of `count` images, all of them once an epoch, without end."""
    batches = EvenBatches(Shuffled(count, seed), size)
    for epoch in itertools.count():
        batches.epoch = epoch
        for number in range(len(batches)):
            at = batches.batch(number)
            yield at, np.zeros_like(at)


def by_label(labels: np.ndarray, size: int, images: int, seed: int) -> Iterator[Picked]:
    """P x K batches: `size // images` labels at most and K images of each, without end.

    Every label comes once an epoch. A label's images are drawn without replacement; where it has
    fewer than K, each comes again as another view before any comes a third time.

    Args:
        labels: int64 `[L]`, each image's.
        size: Images of a batch.
        images: K.
        seed: All draws follow from it.
    """
    _, first, count = np.unique(np.sort(labels), return_index=True, return_counts=True)
    batches = EvenBatches(Shuffled(first.size, seed), size // images)
    turn = np.arange(images)
    for epoch in itertools.count():
        batches.epoch = epoch
        keys = counter_bits(seed, _STREAM, epoch, np.arange(labels.size))
        shuffled = np.lexsort((keys, labels))
        for number in range(len(batches)):
            chosen = batches.batch(number)[:, None]
            at = first[chosen] + turn % count[chosen]
            yield shuffled[at].ravel(), (turn // count[chosen]).ravel()


def pictures(
    picked: Iterator[Picked],
    reader: ImageReader,
    augment: Augment,
    nodes: np.ndarray,
    labels: np.ndarray,
    seed: int,
) -> Iterator[PeerBatch]:
    """Read and augment; two views of an image are augmented differently.

    Args:
        picked: Positions in `nodes`, and views.
        reader: Images by node.
        augment: To what the encoder takes.
        nodes: int64 `[L]`, the labelled images' nodes.
        labels: int64 `[L]`.
        seed: Augmentation follows from it, and from the number of the batch.
    """
    for step, (at, view) in enumerate(picked):
        node = nodes[at]
        draws = augment_draws(seed, step, node + view * len(reader))
        x = augment(reader.read(torch.from_numpy(node)), draws)
        yield PeerBatch(x, torch.from_numpy(labels[at]))
