"""What an image is trained to be recognised as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from graphrise.config.base import check_choices, require


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """What an image is trained to be recognised as."""

    source: Literal["given", "queries", "both"] = "given"
    """The `label` column of images.parquet, or the clicked queries of the log, or both in one
    vocabulary, where a given label and a query that are spelled alike stay two."""
    given_share: float = 0.5
    """Source both: the given label's share of an image that has clicked queries too."""
    spread: bool = False
    """Mix every image's labels with its neighbours' before training, over the graph."""
    spread_steps: int = 1
    """Times they are mixed, sharpened and cut; each reaches one edge further."""
    spread_own: float = 1.0
    """Weight of an image's own labels in the mix, where a neighbour's is the edge's weight; 0:
    neighbours alone."""
    spread_power: float = 2.0
    """Exponent s that sharpens the mixed distribution; 1 leaves it as mixed."""
    spread_top: int = 8
    """Labels kept per image after the mix."""
    spread_kinds: tuple[str, ...] | None = None
    """Kinds of edges used (coclick, similar, knn, given, or the edge table's own); None: all."""
    spread_clamp: bool = False
    """Labelled images keep the labels that they were given: put back after every step."""
    spread_refresh: int | None = None
    """Every so many epochs labels are spread anew, from what the model knows by then; the images
    that it encodes for that count as passes. None: never."""
    spread_from: Literal["predictions", "embeddings"] = "predictions"
    """Refresh: unlabelled images start from the model's own top labels, or every edge's weight is
    multiplied by the cosine of its ends' embeddings (0 where that is negative)."""
    spread_trust: float = 0.3
    """Refresh from predictions: weight of a predicted distribution where a given one's is 1. At 1
    the model soon confirms its own errors."""

    def __post_init__(self) -> None:
        check_choices(self, "labels")
        require(
            0 < self.given_share < 1,
            f"labels.given_share must lie in (0, 1), got {self.given_share}; for one of the two "
            "alone set labels.source",
        )
        require(self.spread_power > 0, "labels.spread_power must be above 0")
        require(self.spread_top >= 1, "labels.spread_top must be at least 1")
        require(self.spread_steps >= 1, "labels.spread_steps must be at least 1")
        for name in ("spread_own", "spread_trust"):
            value = getattr(self, name)
            require(
                0 <= value < float("inf"), f"labels.{name} must be finite, at least 0; got {value}"
            )
        require(
            self.spread_kinds is None or len(self.spread_kinds) > 0,
            "labels.spread_kinds is empty; None is all",
        )
        require(
            self.spread_refresh is None or self.spread_refresh >= 1,
            "labels.spread_refresh must be at least 1, or None for never",
        )
        require(
            self.spread or self.spread_refresh is None,
            "labels.spread_refresh spreads labels anew: it needs labels.spread true",
        )
