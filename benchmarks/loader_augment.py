"""Part `augment` of case `loader`: a batch's augmentation, by the compiled loop and by torch."""

from __future__ import annotations

import os
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.rows import Row
from benchmarks.timing import in_turn
from graphrise.config import ImageConfig
from graphrise.loader.augment import Augment, augment_draws
from graphrise.ops.backend import VARIABLE
from graphrise.train.folder import peak_mib

BASE = "torch's operations"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCHES = {32: 128, 48: 128, 224: 16}
"""Pictures of a batch by side."""


def run(repetitions: int) -> list[Row]:
    """Time both, on one thread, as beside an encoder that has the others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [row for side in BATCHES for row in _rows(side, repetitions)]
    finally:
        torch.set_num_threads(threads)


def _rows(side: int, repetitions: int) -> list[Row]:
    count = BATCHES[side]
    augment = Augment(ImageConfig(size=side, erase=0.5), MEAN, STD)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (count, side, side, 3), generator=generator, dtype=torch.uint8)
    images, draws = x.permute(0, 3, 1, 2), augment_draws(0, 0, np.arange(count))

    def by(backend: str) -> torch.Tensor:
        with patch.dict(os.environ, {VARIABLE: backend}):
            return augment(images, draws)

    ways = {BASE: lambda: by("torch"), "compiled loop": lambda: by("numba")}
    worst = float((by("numba") - by("torch")).abs().max())
    found = in_turn(ways, torch.device("cpu"), repetitions)
    print(f"augment, {side} px: the two differ by {worst:.1e} at most")
    return [
        Row(
            case="loader",
            variant=f"augment, {side} px: {way}",
            metric="time of a batch",
            values=times,
            unit="ms",
            higher_is_better=False,
            baseline=BASE,
            baseline_values=found[BASE],
            peak_mib=peak_mib(),
            size=f"{count} pictures moved, recoloured, half of them erased in part; 1 thread",
        )
        for way, times in found.items()
    ]
