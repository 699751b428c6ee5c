"""Which sessions a graph never sees, and triplets of what was clicked in them."""

from __future__ import annotations

from dataclasses import dataclass

from graphrise.config.base import require


@dataclass(frozen=True, kw_only=True)
class HeldOutConfig:
    """Sessions held out of the graph, and triplets of their clicks (`graphrise triplets`)."""

    share: float = 0.1
    """Share of the sessions held out; a hash of the session and `seed` says which."""
    count: int = 10_000
    """Triplets drawn at most."""
    seed: int = 0
    """Of the choice of sessions and of the draws."""

    def __post_init__(self) -> None:
        require(0 < self.share < 1, "triplets.share must lie between 0 and 1, both excluded")
        require(self.count >= 1, "triplets.count must be at least 1")
        require(self.seed >= 0, "triplets.seed must be at least 0")
