"""What a training run is, in full: one frozen dataclass per stage."""

from __future__ import annotations

from dataclasses import dataclass

from graphrise.config.base import require
from graphrise.config.checkpoint import CheckpointConfig
from graphrise.config.edges import EdgeConfig
from graphrise.config.encoder import EncoderConfig
from graphrise.config.evaluate import EvaluateConfig
from graphrise.config.head import HeadConfig
from graphrise.config.images import ImageConfig
from graphrise.config.labels import LabelConfig
from graphrise.config.train import TrainConfig
from graphrise.config.watch import WatchConfig


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run and its evaluation, complete: the run folder keeps exactly this."""

    labels: LabelConfig = LabelConfig()
    edges: EdgeConfig = EdgeConfig()
    images: ImageConfig = ImageConfig()
    encoder: EncoderConfig = EncoderConfig()
    head: HeadConfig = HeadConfig()
    train: TrainConfig = TrainConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    watch: WatchConfig = WatchConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    shuffle_graph: int | None = None
    """Control: deal the graph's nodes to images at random, by this seed. None: leave it."""
    shuffle_edges: int | None = None
    """Control: the same for the edge term alone; labels are spread over the graph as it is."""
    shuffle_share: float = 1.0
    """Of the images, how many these two deal among themselves: below 1 a graph that is wrong in
    part."""

    def __post_init__(self) -> None:
        require(0 <= self.shuffle_share <= 1, "shuffle_share must lie in 0..1")
        cosines = self.head.margin == "none" or self.encoder.normalize
        require(cosines, "head.margin needs normalised embeddings: encoder.normalize")
        require(
            self.edges.of != "predictions" or self.head.kind in ("auto", "full"),
            "edges.of=predictions needs a softmax over all labels, which head.kind="
            f"{self.head.kind} has not; set head.kind to full",
        )
