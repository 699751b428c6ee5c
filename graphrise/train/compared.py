"""What distances along edges are between, as a run's settings want it."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrise.config import EdgeConfig
from graphrise.errors import ConfigError
from graphrise.nn.encoder import Encoder
from graphrise.nn.heads import FullSoftmax, LabelHead


def check_compared(edges: EdgeConfig, head: LabelHead) -> None:
    """Refuse distances between predictions of a head that has none for all labels.

    Raises:
        ConfigError: It samples labels.
    """
    if edges.compares == "predictions" and not isinstance(head, FullSoftmax):
        raise ConfigError(
            "edges.of=predictions needs a softmax over all labels, and there are so many that they "
            "are sampled; set head.kind to full, or edges.of to embedding"
        )


def compared(
    edges: EdgeConfig,
    encoder: Encoder,
    head: LabelHead,
    found: Tensor,
    forward: int = 0,
) -> tuple[Tensor, Tensor]:
    """Embeddings, and what distances are between (`edges.of`).

    Args:
        edges: The edge term's settings.
        encoder: Finishes embeddings.
        head: Gives predictions.
        found: `[N, D]`, embeddings; not finished if the distances are between such.
        forward: How many of them, the last, are to have no gradient. The head would give
            predictions one.

    Returns:
        Embeddings `[N, D]`, and `[N, D]` or of predictions float32 `[N, C]`: probabilities, or
        logits for a distance that takes the softmax itself (js, kl).
    """
    if edges.compares == "unnormalized":
        return encoder.finished(found), found
    if edges.compares == "embedding":
        return found, found
    assert isinstance(head, FullSoftmax)
    points = head.logits(found).to(torch.float32)
    points = points if edges.distance in ("js", "kl") else points.softmax(dim=1)
    trained = len(points) - forward
    return found, torch.cat((points[:trained], points[trained:].detach())) if forward else points
