"""Peers' losses, as pytorch-metric-learning has them, and with what settings each is tried.

Every one gets embeddings and one label an image, and brings its own label vectors where it has any.
Constants that are not named are the library's, which are the papers'.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

LIBRARY = "pytorch-metric-learning"
_WITH_VECTORS = ("ArcFaceLoss", "ProxyAnchorLoss")


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One loss with its settings.

    Attributes:
        loss: The library's name.
        lr: Peak learning rate of AdamW, of the encoder and of label vectors.
        batch: Encoder passes a step.
        per_label: Images of each label in a batch, views of the same ones where there are fewer;
            1: images in random order, whatever their labels.
        options: The loss's own constants.
    """

    loss: str
    lr: float = 12e-3
    batch: int = 128
    per_label: int = 1
    options: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        own = "".join(f", {name} {value:g}" for name, value in self.options.items())
        each = f", {self.per_label} of a label" if self.per_label > 1 else ""
        return f"{self.loss}, lr {self.lr:g}, batches of {self.batch}{each}{own}"


class Criterion(nn.Module):
    """A loss behind its miner, if its authors use one."""

    def __init__(self, peer: Peer, num_labels: int, dim: int) -> None:
        """Make the loss.

        Args:
            peer: Which one.
            num_labels: C.
            dim: D.

        Raises:
            ModuleNotFoundError: The library is not installed.
        """
        from pytorch_metric_learning import losses, miners

        super().__init__()
        of_labels = (num_labels, dim) if peer.loss in _WITH_VECTORS else ()
        options: dict[str, Any] = dict(peer.options)
        self.loss = getattr(losses, peer.loss)(*of_labels, **options)
        mined = peer.loss == "MultiSimilarityLoss"
        self.miner = miners.MultiSimilarityMiner() if mined else None

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Scalar of embeddings `[B, D]` and labels int64 `[B]`."""
        return self.loss(z, label, None if self.miner is None else self.miner(z, label))
