"""Embedded images with what is known of them: what every metric starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Embedded:
    """Embedded images with what is known of them.

    Attributes:
        embeddings: float32 `[N, D]`.
        labels: int64 `[N]`, instance, -1 = unknown.
        groups: int64 `[N]`, coarser class, -1 = unknown.
        levels: int64 `[N]` for each of `EvaluateConfig.levels`, -1 = unknown.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    levels: tuple[np.ndarray, ...] = ()

    def __getitem__(self, rows: np.ndarray) -> Embedded:
        """Those of some rows, int64 `[M]`."""
        levels = tuple(level[rows] for level in self.levels)
        return Embedded(self.embeddings[rows], self.labels[rows], self.groups[rows], levels)


def codes(values: Sequence[object], vocabulary: dict[str, int]) -> np.ndarray:
    """Labels as whole numbers; new ones join `vocabulary`, None is -1."""
    return np.array(
        [-1 if v is None else vocabulary.setdefault(str(v), len(vocabulary)) for v in values],
        dtype=np.int64,
    )
