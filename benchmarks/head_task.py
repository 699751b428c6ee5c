"""A made task with as many labels as asked for: a tree of labels, Zipf's law, and inputs that mix.

Every image is a function of the task's seed and the image's number: no table of all labels is held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphrise.ops.counter_random import counter_uniform
from graphrise.ops.permutation import permuted

LEVELS = (1.0, 0.8, 0.6)
"""Standard deviations of the vectors of a label's grandparent, its parent and itself."""
_TREE, _ORDER, _LABEL, _NOISE, _MIX = range(5)
"""What is drawn, in the address of a random number."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Images of C labels in a tree of three levels.

    The centre of a label is the sum of three vectors, those of its grandparent, its parent and its
    own; labels of one parent are the hard ones to tell apart. Label c comes with the probability of
    `nn.heads.LogUniform`, and frequency says nothing about the place in the tree.

    Attributes:
        labels: C.
        features: F, of an input and of the vectors.
        noise: Standard deviation of the noise on a label's centre.
        seed: Everything follows from it.
    """

    labels: int
    features: int = 64
    noise: float = 0.5
    seed: int = 0

    def images(self, first: int, count: int, *, held_out: bool = False) -> tuple[Tensor, Tensor]:
        """Some images.

        Args:
            first: Number of the first one.
            count: n.
            held_out: Of those that are judged on, which share no noise with those trained on.

        Returns:
            Inputs float32 `[n, F]`, in (-1, 1), and labels int64 `[n]`.
        """
        number = np.arange(first, first + count)
        u = counter_uniform(self.seed, _LABEL, int(held_out), number)
        drawn = np.expm1(u * math.log(self.labels + 1)).astype(np.int64)
        label = np.minimum(drawn, self.labels - 1)
        noise = self._uniform(number, _NOISE, int(held_out))
        vectors = self.centres(label) + self.noise * noise
        # A linear mixing would leave an encoder of one layer nothing to learn.
        mix = self._uniform(np.arange(self.features), _MIX) / self.features**0.5
        deviation = math.hypot(*LEVELS, self.noise)
        inputs = np.tanh(vectors / deviation @ mix)
        return torch.from_numpy(inputs.astype(np.float32)), torch.from_numpy(label)

    def centres(self, label: np.ndarray) -> np.ndarray:
        """Centres float64 `[n, F]` of labels int64 `[n]`."""
        node = permuted(label, self.labels, self.seed, _ORDER)
        branches = math.ceil(self.labels ** (1 / len(LEVELS)) - 1e-9)
        total = np.zeros((label.size, self.features))
        for level, deviation in enumerate(LEVELS):
            ancestor = node // branches ** (len(LEVELS) - 1 - level)
            total += deviation * self._uniform(ancestor, _TREE, level)
        return total

    def _uniform(self, each: np.ndarray, *address: int) -> np.ndarray:
        """Numbers of mean 0 and variance 1: `[n, F]` of an address and each of `[n]` numbers."""
        u = counter_uniform(self.seed, *address, each[:, None], np.arange(self.features))
        return 12**0.5 * (u - 0.5)
