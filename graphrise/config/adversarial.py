"""Neighbours that are made instead of drawn: the picture itself, changed against the model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from graphrise.config.base import check_choices, require


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """An adversarial neighbour for every labelled image of a batch."""

    kind: Literal["none", "fgsm", "vat"] = "none"
    """fgsm: one step up the gradient of the label loss, 2 encoder passes a labelled image; vat: to
    where the distance grows most, by power iteration, 2 passes and 1 a step."""
    alpha: float = 1.0
    """Weight of the mean distance between labelled images and their adversarial neighbours."""
    size: float = 1.0
    """Length of the step, in units of the normalised picture (1 is a standard deviation)."""
    norm: Literal["l2", "infinity"] = "l2"
    """What the length is: l2 of the whole picture, so it grows with its side; infinity of each
    number in it."""
    steps: int = 1
    """vat: power iterations, from a random direction."""

    def __post_init__(self) -> None:
        check_choices(self, "edges.adversarial")
        require(
            0 <= self.alpha < math.inf,
            f"edges.adversarial.alpha must not be below 0 (got {self.alpha}); 0 counts no distance",
        )
        require(
            0 < self.size < math.inf,
            f"edges.adversarial.size must be above 0 (got {self.size}); kind=none switches it off",
        )
        require(self.steps >= 1, "edges.adversarial.steps must be at least 1")

    @property
    def passes(self) -> int:
        """Encoder passes a labelled image, those that only look for the neighbour included."""
        return {"none": 0, "fgsm": 2, "vat": 2 + self.steps}[self.kind]
