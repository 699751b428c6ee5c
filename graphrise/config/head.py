"""The label head's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from graphrise.config.base import check_choices, require

FULL_UP_TO = 1_000_000
"""Labels up to which `auto` is the full softmax, which needs no sampler's settings: without a
margin no logits are held (nn.FullSoftmax), and weights, gradient and AdamW's moments of a million
labels are 1 GB. Samples of three quarters and a third of emoji's labels cost nothing on the
validation vendor and about a point on the test one, of a twentieth (by adagrad) 5 to 12; of a
million made labels 2,048 a step learn as much as all in as many steps, each 1/220 as long (LOG.md;
InsightFace's README: 96.57 with a fifth, 93.08 with a five-hundredth). So sample below it where a
step is slow."""


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """Label cross-entropy."""

    kind: Literal["auto", "full", "sampled", "partial_fc"] = "auto"
    """Softmax over all labels, over a corrected sample of them, or over an uncorrected one; auto:
    all up to a million labels, sampled above."""
    smoothing: float = 0.1
    """Label smoothing epsilon, spread evenly over all labels; 0.1 is implied by the paper."""
    scale: float = 16.0
    """Logit scale (inverse temperature) of normalised embeddings; unused without normalisation. Few
    given labels, and samples of them, want a smaller one than spread labels (LOG.md)."""
    margin: Literal["none", "arcface", "cosface"] = "none"
    """What a label must win by; of normalised embeddings only."""
    margin_size: float = 0.3
    """Radians (arcface) or cosine (cosface)."""
    negatives: Literal["uniform", "log_uniform", "in_batch", "mixed"] = "log_uniform"
    """Labels an image is held against in a sampled softmax. mixed: in_batch and log_uniform, the
    best of these on emoji's validation vendor (LOG.md). partial_fc draws uniformly."""
    num_negatives: int = 8192
    """Labels drawn a step, shared by the batch (the paper: 100,000 of 40 million)."""
    replacement: bool = False
    """Whether a label may be drawn twice in a step."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the sampled heads' label vectors; bfloat16 is rounded stochastically."""
    optimizer: Literal["rmsprop", "adagrad", "sgd"] = "rmsprop"
    """Row-wise update of the sampled heads' label vectors. With rmsprop they learned more than with
    adagrad, of emoji's labels, each met often, and of a million seldom met (LOG.md); adagrad wants
    a head.lr of about 0.8 and no weight decay."""
    lr: float = 0.06
    """Its peak learning rate; follows the schedule of train.lr. Chosen for normalised embeddings of
    64 numbers; inner products want less."""
    weight_decay: float = 0.05
    """Decoupled weight decay of the label vectors that a step touches: keeps them short, so that
    steps go on turning them."""

    def __post_init__(self) -> None:
        check_choices(self, "head")
        require(0 <= self.smoothing < 1, "head.smoothing must lie in [0, 1)")
        require(self.scale > 0, "head.scale must be above 0")
        require(self.margin_size >= 0, "head.margin_size must not be negative")
        require(self.num_negatives >= 1, "head.num_negatives must be at least 1")
        require(self.lr > 0, "head.lr must be above 0")
        require(self.weight_decay >= 0, "head.weight_decay must not be negative")
        mixed = self.negatives == "mixed" and self.replacement
        require(not mixed, "head.negatives=mixed draws without replacement")

    def sampled(self, num_labels: int) -> bool:
        """Whether so many labels are sampled from."""
        return self.kind != "full" and (self.kind != "auto" or num_labels > FULL_UP_TO)
