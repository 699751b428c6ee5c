"""The label losses of one batch: of its labelled images, and of neighbours on their labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphrise.nn.heads import LabelHead, Views
from graphrise.train.edge_terms import EdgeTerm


def label_terms(
    head: LabelHead,
    z: Tensor,
    batch: Data,
    *,
    neighbors: bool = False,
    edges: EdgeTerm | None = None,
    adversarial: Tensor | None = None,
) -> dict[str, Tensor]:
    """Cross-entropies in one call of the head, so that a sampled one draws one sample a step.

    Args:
        head: The label head.
        z: Embeddings `[N, D]` of the batch, its B labelled images first.
        batch: As `loader.batch.TrainingLoader` says.
        neighbors: Whether neighbours are trained on the labels of the images they are drawn for.
        edges: Edges (labelled image, neighbour); None: none was drawn.
        adversarial: Embeddings `[B, D]` of adversarial neighbours; None: there are none.

    Returns:
        Scalars: `label`, mean over the labelled images; with `neighbors` also `edge_label`,
        `(1 / B) sum_uv c_uv CE(q_u, p(z_v))`, and, where there are adversarial ones,
        `adversarial_label`, in which each counts 1. Coefficients get no gradient.
    """
    seeds = z[: batch.batch_size]
    labels = (batch.label_row, batch.label_index, batch.label_weight)
    if not neighbors:
        return {"label": head(seeds, *labels)}
    # Where no edge was drawn too: of several ranks all give the head views, or none does.
    image, neighbor = batch["edge_index"][:, :0] if edges is None else edges.index
    weight = z.new_zeros(0) if edges is None else edges.coefficient.detach()
    parts = [("edge_label", z[neighbor], image, weight)]
    if adversarial is not None:
        image = torch.arange(len(adversarial), device=z.device)
        parts.append(("adversarial_label", adversarial, image, z.new_ones(len(adversarial))))
    names, vectors, images, weights = zip(*parts, strict=True)
    # Each kind of view has a column of its own, hence a sum.
    views = Views(torch.cat(images), torch.block_diag(*(w.unsqueeze(1) for w in weights)))
    losses = head(torch.cat((seeds, *vectors)), *labels, views)
    return dict(zip(("label", *names), losses, strict=True))


def peeked_loss(head: LabelHead, z: Tensor, batch: Data) -> Tensor:
    """The loss of labelled images as `label_terms` will have it, without a step of the head.

    A sampled head draws the sample that it will draw for the step.

    Args:
        head: The label head.
        z: Embeddings `[B, D]` of the labelled images.
        batch: Whose labels they have.
    """
    training = head.training
    head.eval()
    try:
        return head(z, batch.label_row, batch.label_index, batch.label_weight)
    finally:
        head.train(training)
