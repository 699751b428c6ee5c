"""Which labels a batch is held against, and how often each is to be expected among them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphrise.errors import ConfigError
from graphrise.ops.counter_random import counter_uniform
from graphrise.ops.permutation import permuted

_STREAM = 6
_FEW = 16
"""Labels per drawn one up to which every label's arrival is drawn."""


@dataclass(frozen=True)
class Drawn:
    """A sample of labels.

    Attributes:
        index: int64 `[n]`; repeated if drawn with replacement.
        expected: Gives the expected count of any labels (int64 `[m]` to float64 `[m]`); without
            replacement that is the probability to be in the sample.
    """

    index: Tensor
    expected: Callable[[Tensor], Tensor]


class Negatives(ABC):
    """Draws labels for a whole batch; a draw is a function of (seed, step).

    Attributes:
        num_labels: C.
    """

    num_labels: int

    @abstractmethod
    def draw(self, step: int, own: Tensor) -> Drawn:
        """Sample labels.

        Args:
            step: Number of the training step.
            own: int64 `[E]`, labels of the batch, with repetition.
        """


class Uniform(Negatives):
    """Every label equally often."""

    def __init__(
        self, num_labels: int, count: int, *, replacement: bool = False, seed: int = 0
    ) -> None:
        """Draw `count` of `num_labels`.

        Args:
            num_labels: C.
            count: n a step.
            replacement: Whether a label may come twice.
            seed: Every draw follows from it.

        Raises:
            ConfigError: `count` is below 1, or more than there are without replacement.
        """
        _check(num_labels, count, replacement)
        self.num_labels, self.count, self.replacement = num_labels, count, replacement
        self._seed = seed

    def draw(self, step: int, own: Tensor) -> Drawn:
        """Sample labels; `own` changes nothing."""
        number, labels = np.arange(self.count), self.num_labels
        if self.replacement:
            u = counter_uniform(self._seed, _STREAM, step, number)
            index = np.minimum((u * labels).astype(np.int64), labels - 1)
        else:
            index = permuted(number, labels, self._seed, _STREAM, step)
        share = self.count / labels
        return Drawn(
            torch.from_numpy(index),
            lambda of: torch.full(of.shape, share, dtype=torch.float64, device=of.device),
        )


class LogUniform(Negatives):
    """Label c with probability `log((c + 2) / (c + 1)) / log(C + 1)`: Zipf's law, as TensorFlow.

    Labels must be sorted by falling frequency, as a graph's vocabularies are.
    """

    def __init__(
        self, num_labels: int, count: int, *, replacement: bool = False, seed: int = 0
    ) -> None:
        """Draw `count` of `num_labels`; arguments and errors as `Uniform`."""
        _check(num_labels, count, replacement)
        self.num_labels, self.count, self.replacement = num_labels, count, replacement
        self._seed = seed

    def draw(self, step: int, own: Tensor) -> Drawn:
        """Sample labels; `own` changes nothing.

        Without replacement labels arrive at a rate of their probability and the first n are taken.
        Given when the next one arrives, T, a label is among them with probability
        `1 - exp(-p T)` (rank conditioning, Cohen and Kaplan, VLDB 2008): weighted by its inverse a
        sum over the sample is an unbiased estimate of the sum over all labels. One that is not
        among them would have had to arrive before the last of those that are: `Mixed` needs both.
        """
        if self.replacement:
            index = self._labels_at(
                counter_uniform(self._seed, _STREAM, step, np.arange(self.count))
            )
            return Drawn(torch.from_numpy(index), lambda of: self.count * self._probability(of))
        if self.count == self.num_labels:
            everything = torch.arange(self.num_labels)
            return Drawn(everything, lambda of: torch.ones_like(of, dtype=torch.float64))
        few = self.num_labels <= _FEW * self.count
        found, last, time = self._arrivals(step) if few else self._first_distinct(step)
        index = torch.from_numpy(found)

        def expected(of: Tensor) -> Tensor:
            until = torch.where(_among(index.to(of.device), of), time, last)
            return -torch.expm1(-until * self._probability(of))

        return Drawn(index, expected)

    def _probability(self, label: Tensor) -> Tensor:
        rank = label.to(torch.float64)
        return torch.log1p(1 / (rank + 1)) / math.log(self.num_labels + 1)

    def _labels_at(self, u: np.ndarray) -> np.ndarray:
        label = np.expm1(u * math.log(self.num_labels + 1)).astype(np.int64)
        return np.clip(label, 0, self.num_labels - 1)

    def _arrivals(self, step: int) -> tuple[np.ndarray, float, float]:
        """The first n of all labels, each of which waits exponentially long.

        Returns:
            int64 `[n]`, rising; when the last of them arrives; when the next one would.
        """
        labels = np.arange(self.num_labels)
        wait = -np.log1p(-counter_uniform(self._seed, _STREAM, step, labels))
        wait /= self._probability(torch.from_numpy(labels)).numpy()
        order = np.argpartition(wait, self.count)
        found = order[: self.count]
        return np.sort(found), float(wait[found].max()), float(wait[order[self.count]])

    def _first_distinct(self, step: int) -> tuple[np.ndarray, float, float]:
        """The same by a stream of draws at rate 1: the first n distinct labels of it."""
        made = 2 * self.count
        while True:
            u = counter_uniform(self._seed, _STREAM, step, np.arange(made))
            label = self._labels_at(u)
            place = _first_places(label)
            if place.size > self.count:
                break
            made *= 2
        last, after = (int(place[n]) for n in (self.count - 1, self.count))
        # Counted in draws instead of in time the probabilities would be off by a part 1 / n.
        gap = counter_uniform(self._seed, _STREAM, step, 1, np.arange(after + 1))
        time = np.cumsum(-np.log1p(-gap))
        return np.sort(label[place[: self.count]]), float(time[last]), float(time[after])


def _among(index: Tensor, of: Tensor) -> Tensor:
    """Which labels are in a rising list: bool of the shape of `of`."""
    return index[torch.searchsorted(index, of).clamp(max=index.numel() - 1)] == of


def _first_places(label: np.ndarray) -> np.ndarray:
    """Where each label comes for the first time, rising: int64 `[m]` of int64 `[n]`."""
    bits = max(label.size - 1, 1).bit_length()
    # Labels with their places in the low bits: a sort of numbers, many times faster than of places.
    keys = np.sort(label << bits | np.arange(label.size))
    ranked = keys >> bits
    first = np.ones(label.size, dtype=bool)
    first[1:] = ranked[1:] != ranked[:-1]
    return np.sort(keys[first] & (1 << bits) - 1)


class InBatch(Negatives):
    """The labels of the batch: those of the other images are an image's negatives.

    They come as often as they occur in the data, which the correction must know.
    """

    def __init__(self, frequency: Tensor) -> None:
        """Take labels from the batch.

        Args:
            frequency: float `[C]`, how often each label occurs in the data (any unit), above 0 for
                labels that do.

        Raises:
            ConfigError: It is not a vector with a positive sum.
        """
        if frequency.dim() != 1 or not bool(frequency.sum() > 0) or bool((frequency < 0).any()):
            raise ConfigError("in-batch negatives: frequency must be [C], not negative, not all 0")
        self.num_labels = frequency.numel()
        self._share = frequency.to(torch.float32) / frequency.sum(dtype=torch.float64)

    def draw(self, step: int, own: Tensor) -> Drawn:
        """The distinct labels of `own`; likely there by `1 - (1 - share)^E`.

        Raises:
            ConfigError: One of them never occurs in the data, by its frequency.
        """
        never = own[self._share_of(own) == 0]
        if never.numel():
            raise ConfigError(
                f"in-batch negatives: label {int(never[0])} is in the batch, but its frequency is 0"
            )
        return Drawn(torch.unique(own).cpu(), lambda of: self._expected(of, own.numel()))

    def _expected(self, of: Tensor, entries: int) -> Tensor:
        share = self._share_of(of).to(torch.float64)
        return -torch.expm1(entries * torch.log1p(-share.clamp(max=1 - 1e-12)))

    def _share_of(self, label: Tensor) -> Tensor:
        # A step asks for a few of the shares of all labels; only those go to its device.
        return self._share[label.to(self._share.device)].to(label.device)


class Mixed(Negatives):
    """The labels that one of two samplers gives; both without replacement."""

    def __init__(self, one: Negatives, other: Negatives) -> None:
        """Join two samplers of the same labels.

        Raises:
            ConfigError: They are of different labels, or one draws with replacement.
        """
        if one.num_labels != other.num_labels:
            raise ConfigError(f"mixed negatives: of {one.num_labels} and {other.num_labels} labels")
        if getattr(one, "replacement", False) or getattr(other, "replacement", False):
            raise ConfigError("mixed negatives: draw both without replacement")
        self.num_labels, self._one, self._other = one.num_labels, one, other

    def draw(self, step: int, own: Tensor) -> Drawn:
        """The union; a label is missing only where it is missing in both."""
        one, other = self._one.draw(step, own), self._other.draw(step, own)
        index = torch.unique(torch.cat((one.index, other.index)))
        return Drawn(index, lambda of: 1 - (1 - one.expected(of)) * (1 - other.expected(of)))


def _check(num_labels: int, count: int, replacement: bool) -> None:
    if num_labels < 1 or count < 1:
        raise ConfigError(f"negatives: {count} of {num_labels} labels; both must be at least 1")
    if count > num_labels and not replacement:
        raise ConfigError(
            f"negatives: {count:,} of {num_labels:,} labels; without replacement there cannot be "
            "more than there are (take FullSoftmax, or replacement=True)"
        )
