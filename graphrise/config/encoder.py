"""The encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from graphrise.config.base import check_choices, require, tuples


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """phi(x): a timm CNN, or an MLP over features, and a projection."""

    name: str = "resnet50"
    """Any name `timm.create_model` knows; or `mlp`, of images that are rows of features.npy."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Further arguments for `timm.create_model`; of `mlp`: hidden (256), layers (3) and dropout
    (0.5), while `features`, the width of the input, is taken from the dataset."""
    pretrained: bool = False
    """Load timm's weights (needs a network, or a local file in kwargs)."""
    weights: str | None = None
    """Load the backbone's weights from this file instead: timm's (.safetensors or .pth), or
    encoder.safetensors of a run folder. The projection starts anew."""
    dim: int = 64
    """Embedding dimension D; 64 is the paper's."""
    normalize: bool = True
    """L2-normalise the embedding."""
    lr_factor: float = 1.0
    """Learning rate of the backbone as a multiple of train.lr, which projection and head keep;
    below 1 where the backbone is trained already."""
    bn: Literal["shared", "apart"] = "shared"
    """apart: batch normalisation of neighbours by statistics of their own; the running ones, which
    the exported encoder uses, are of the labelled images alone. shared: one batch of both. Of no
    effect on encoders without batch normalisation."""
    checkpointing: bool = False
    """Encode parts of the backbone again in the backward pass instead of keeping them: less memory
    for about a third more time."""

    def __post_init__(self) -> None:
        check_choices(self, "encoder")
        require(
            not (self.pretrained and self.weights),
            "encoder.pretrained and encoder.weights are two sources of weights: give one",
        )
        require(
            not (self.takes_features and (self.pretrained or self.checkpointing)),
            "encoder 'mlp' has neither encoder.pretrained nor encoder.checkpointing",
        )
        require(self.lr_factor > 0, "encoder.lr_factor must be above 0")
        require(self.dim >= 1, "encoder.dim must be at least 1")
        object.__setattr__(self, "kwargs", tuples(self.kwargs))

    @property
    def takes_features(self) -> bool:
        """Whether its images are rows of a matrix (`nn.MLP`), not pictures."""
        return self.name == "mlp"
