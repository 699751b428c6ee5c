"""Adversarial neighbours of the labelled images of a batch, as a run's settings want them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphrise.config import AdversarialConfig
from graphrise.nn.adversarial import fgsm, random_directions, vat
from graphrise.nn.heads import LabelHead
from graphrise.nn.regularizer import EdgeRegularizer
from graphrise.train.label_terms import peeked_loss

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Pictures `[B, 3, S, S]` to their embeddings and to what distances are between."""


@dataclass(frozen=True)
class AdversarialPairs:
    """Labelled images and their adversarial neighbours.

    Attributes:
        z: Embeddings `[B, D]` of the neighbours, with gradient.
        distance: `[B]`, from each image, which is held fixed, to its neighbour.
    """

    z: Tensor
    distance: Tensor


def adversarial_pairs(
    config: AdversarialConfig,
    omega: EdgeRegularizer,
    head: LabelHead,
    batch: Data,
    x: Tensor,
    encode: Encode,
    *,
    seed: int,
    step: int,
) -> AdversarialPairs:
    """Make a neighbour of every labelled image and encode it: `config.passes` passes an image.

    The images are encoded anew beside them, and not taken from the step's own pass: there they are
    normalised together with other images, and the difference would be taken for a distance. As
    Miyato et al. and NSL do, neighbours are drawn to the image and not the image to them.

    Args:
        config: What kind, how far.
        omega: The distance.
        head: fgsm goes up the gradient of its loss, without a step of it.
        batch: As `loader.batch.TrainingLoader` says. Pictures that could not be read count nothing.
        x: Pictures `[B, 3, S, S]` of its labelled images, normalised.
        encode: The encoder; of what it does to running statistics its caller takes care.
        seed: The random start of vat follows from it and `step`.
        step: Training step.
    """
    clean: list[Tensor] = []
    pairs = torch.arange(2 * len(x), device=x.device).view(2, -1)

    def apart(points: Tensor) -> Tensor:
        return omega.distances(torch.cat((clean[0].to(points.dtype), points)), pairs)

    def loss(pictures: Tensor) -> Tensor:
        z, points = encode(pictures)
        clean.append(points.detach())
        return peeked_loss(head, z, batch)

    if config.kind == "fgsm":
        moved = fgsm(x, loss, size=config.size, norm=config.norm)
    else:
        with torch.no_grad():
            clean.append(encode(x)[1])
        moved = vat(
            x,
            lambda pictures: apart(encode(pictures)[1]),
            random_directions(x, seed, step),
            size=config.size,
            norm=config.norm,
            steps=config.steps,
        )
    z, points = encode(moved)
    distance = apart(points)
    if "bad_node" in batch:
        distance = distance * ~torch.isin(batch.n_id[: len(x)], batch.bad_node)
    return AdversarialPairs(z, distance)
