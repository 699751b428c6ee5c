"""The edge term, and the bank of past embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from graphrise.config.base import check_choices, require


@dataclass(frozen=True, kw_only=True)
class BankConfig:
    """Past embeddings in the place of neighbours (edges.embeddings=bank)."""

    dtype: Literal["float16", "float32"] = "float16"
    """Of the table: 2 or 4 bytes a number."""
    mapped: bool = False
    """Keep the table in a file of the run folder, memory-mapped, instead of in memory."""
    max_age: int | None = None
    """Embeddings more steps old than this do not count; None: any that there is."""
    sweep_every: int | None = 4
    """Every so many steps unlabelled images are encoded for the table, without gradient: a batch of
    them, or fewer if that does for all of them once an epoch. Labelled ones pass anyway. None:
    never."""

    def __post_init__(self) -> None:
        check_choices(self, "edges.bank")
        for name in ("max_age", "sweep_every"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"edges.bank.{name} must be at least 1, or None")


@dataclass(frozen=True, kw_only=True)
class EdgeConfig:
    """The edge term: alpha * Omega, how its edges come into a batch, and who pays for them."""

    alpha: float = 0.0
    """Weight of the edge term in the loss; 0 draws no neighbour and costs no encoder pass."""
    alpha_unlabelled: float = 0.0
    """Weight of the mean edge term of unlabelled images over their unlabelled neighbours."""
    unlabelled_ratio: float = 0.5
    """Unlabelled images per labelled one of a batch, if alpha_unlabelled is above 0."""
    sampler: Literal["pairs", "subgraph"] = "pairs"
    """Each labelled image with drawn neighbours, or connected groups with all edges inside."""
    neighbors: int = 1
    """pairs: neighbours drawn per labelled image and step, with replacement."""
    draw: Literal["weighted", "uniform"] = "weighted"
    """pairs: draw in proportion to edge weight (each counts 1) or uniformly (each counts w)."""
    group_size: int = 4
    """subgraph: labelled images that are neighbours come into one batch, so many at a time."""
    fanouts: tuple[int, ...] = (1,)
    """subgraph: neighbours drawn per image, hop by hop; empty: labelled images only."""
    kinds: tuple[str, ...] | None = None
    """Kinds of edges used (coclick, similar, knn, given, or the edge table's own); None: all."""
    normalize: bool = True
    """Divide an image's edge weights by their sum, so that alpha does not depend on degree."""
    embeddings: Literal["encoder", "stop_gradient", "bank"] = "encoder"
    """Of neighbours: encoded with gradient, encoded without, or past ones from a table."""
    bank: BankConfig = BankConfig()

    def __post_init__(self) -> None:
        check_choices(self, "edges")
        for name in ("alpha", "alpha_unlabelled"):
            require(
                0 <= getattr(self, name) < float("inf"),
                f"edges.{name} must not be below 0 (got {getattr(self, name)}): a negative weight "
                "pushes similar images apart; use 0 for no edge term",
            )
        require(self.unlabelled_ratio > 0, "edges.unlabelled_ratio must be above 0")
        require(self.neighbors >= 1, "edges.neighbors must be at least 1; alpha 0 switches it off")
        require(self.group_size >= 1, "edges.group_size must be at least 1")
        require(all(f >= 1 for f in self.fanouts), "edges.fanouts must each be at least 1")
        require(self.kinds is None or len(self.kinds) > 0, "edges.kinds is empty; None is all")

    @property
    def used(self) -> bool:
        """Whether batches have edges at all."""
        return self.alpha > 0 or self.alpha_unlabelled > 0
