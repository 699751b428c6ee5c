"""The edge term, and the bank of past embeddings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from graphrise.config.adversarial import AdversarialConfig
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
    alpha_labelled: float | None = None
    """The same of edges between two images that have labels, spread ones too; None: alpha."""
    alpha_unlabelled: float = 0.0
    """Weight of the mean edge term of unlabelled images over their unlabelled neighbours."""
    alpha_by_kind: dict[str, float] = field(default_factory=dict)
    """Factors on the edges of some kinds, by name; of the others 1. Of an edge of several kinds the
    largest. At 0 they are drawn all the same: `kinds` leaves them out."""
    alpha_start: float = 0.0
    """Share of the budget before which all weights of this stage are 0. Neighbours are drawn as
    ever, so that the batches stay the same; adversarial ones are not made."""
    alpha_ramp: float = 0.0
    """Share of the budget over which they then rise to their values, in a straight line."""
    label_alpha: float = 0.0
    """Weight of the label loss of drawn neighbours on the labels of the image they are drawn for,
    each weighted as its edge. They must be encoded with gradient (embeddings=encoder)."""
    unlabelled_ratio: float = 0.5
    """Unlabelled images per labelled one of a batch, if alpha_unlabelled is above 0."""
    distance: Literal["squared_l2", "l2", "l1", "cosine", "js", "kl"] = "squared_l2"
    """Between the two ends of an edge. js and kl (of the neighbour from the image) are of softmaxes
    of the vectors."""
    of: Literal["embedding", "unnormalized", "predictions"] = "embedding"
    """What it is between: embeddings, embeddings before they are normalised, or the softmaxes over
    all labels, which only the full softmax has."""
    gate: float = 0.0
    """Edges count by max(0, cosine of their ends' embeddings) to this power, without gradient, so
    that those whose ends disagree count less. 0: all alike."""
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
    adversarial: AdversarialConfig = AdversarialConfig()

    def __post_init__(self) -> None:
        check_choices(self, "edges")
        self._check_weights()
        self._check_neighbours()
        require(self.unlabelled_ratio > 0, "edges.unlabelled_ratio must be above 0")
        require(self.neighbors >= 1, "edges.neighbors must be at least 1; alpha 0 switches it off")
        require(self.group_size >= 1, "edges.group_size must be at least 1")
        require(all(f >= 1 for f in self.fanouts), "edges.fanouts must each be at least 1")
        require(self.kinds is None or len(self.kinds) > 0, "edges.kinds is empty; None is all")

    def _check_weights(self) -> None:
        object.__setattr__(self, "alpha_by_kind", dict(self.alpha_by_kind))
        weights = {f"alpha_by_kind of {kind}": of for kind, of in self.alpha_by_kind.items()}
        for name in ("alpha", "alpha_labelled", "alpha_unlabelled", "label_alpha"):
            weights[name] = getattr(self, name)
        for name, value in weights.items():
            require(
                value is None or 0 <= value < math.inf,
                f"edges.{name} must not be below 0 (got {value}): a negative weight pushes similar "
                "images apart; use 0 for no edge term",
            )
        for name in ("alpha_start", "alpha_ramp"):
            value = getattr(self, name)
            require(0 <= value < 1, f"edges.{name}, a share of the budget, must lie in [0, 1)")
        require(
            self.alpha_start + self.alpha_ramp <= 1,
            "edges.alpha_start and edges.alpha_ramp are shares of one budget: at most 1 together",
        )
        require(0 <= self.gate < math.inf, f"edges.gate must not be below 0 (got {self.gate})")

    def _check_neighbours(self) -> None:
        require(
            self.label_alpha == 0 or self.embeddings == "encoder",
            f"edges.label_alpha trains neighbours, and those of edges.embeddings={self.embeddings} "
            "cannot be trained; set it to encoder",
        )
        require(
            self.of != "predictions" or self.embeddings != "bank",
            "edges.of=predictions needs the neighbours' predictions, and a bank keeps embeddings; "
            "set edges.embeddings to encoder or stop_gradient",
        )
        require(
            self.adversarial.kind == "none" or self.adversarial.alpha + self.label_alpha > 0,
            f"edges.adversarial.kind={self.adversarial.kind} costs passes and counts nothing; set "
            "edges.adversarial.alpha or edges.label_alpha above 0",
        )

    @property
    def used(self) -> bool:
        """Whether batches have edges at all."""
        return any(w > 0 for w in (*self._pairs, self.alpha_unlabelled, self.label_alpha))

    @property
    def compares(self) -> Literal["embedding", "unnormalized", "predictions"]:
        """`of`, where any distance is computed; else what costs nothing."""
        return self.of if self.used or self.adversarial.kind != "none" else "embedding"

    @property
    def _pairs(self) -> tuple[float, float]:
        """Weights of the edges of labelled images: to labelled ones, and to others."""
        both = self.alpha if self.alpha_labelled is None else self.alpha_labelled
        return both, self.alpha

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each term of this stage in the loss, by name."""
        return {
            "edge": self.alpha or self._pairs[0],
            "edge_unlabelled": self.alpha_unlabelled,
            "edge_label": self.label_alpha,
            "adversarial": self.adversarial.alpha,
            "adversarial_label": self.label_alpha,
        }

    @property
    def pair_factors(self) -> tuple[float, float]:
        """What edges from labelled images to labelled ones, and to others, count within `edge`."""
        whole = self.weights["edge"]
        return (1.0, 1.0) if whole == 0 else (self._pairs[0] / whole, self._pairs[1] / whole)
