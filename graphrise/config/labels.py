"""What an image is trained to be recognised as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from graphrise.config.base import check_choices, require


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """What an image is trained to be recognised as."""

    source: Literal["given", "queries"] = "given"
    """The `label` column of images.parquet, or the clicked queries of the log."""
    spread: bool = False
    """Mix every image's labels with its neighbours' before training, one step over the graph."""
    spread_power: float = 2.0
    """Exponent s that sharpens the mixed distribution; 1 leaves it as mixed."""
    spread_top: int = 8
    """Labels kept per image after the mix."""

    def __post_init__(self) -> None:
        check_choices(self, "labels")
        require(self.spread_power > 0, "labels.spread_power must be above 0")
        require(self.spread_top >= 1, "labels.spread_top must be at least 1")
