"""What the plain loop of case `peers` trains, and on which batches: graphrise's losses, and peers'.

Encoder, its first weights, pictures, augmentation and AdamW are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.peers_batches import PeerBatch, by_label, distinct, pictures
from benchmarks.peers_loop import Parts
from benchmarks.peers_losses import Criterion, Peer
from benchmarks.steps import endless
from graphrise.config import RunConfig
from graphrise.images.reader import ImageReader
from graphrise.loader.augment import Augment
from graphrise.loader.batch import TrainingLoader, without_edges
from graphrise.loader.prefetch import ahead
from graphrise.nn.encoder import Encoder
from graphrise.train.batches import batch_plan, edge_sampler
from graphrise.train.data import TrainingData
from graphrise.train.module import GraphRise
from graphrise.train.optimizers import optimizer_of
from graphrise.train.trainer import precision_of


def ours(data: TrainingData, module: GraphRise, config: RunConfig) -> Parts:
    """The module of a run, trained bit for bit as `train` does."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert isinstance(module.augment, Augment)
    loader = TrainingLoader(
        without_edges(data.graph),
        data.reader,
        data.labels,
        edge_sampler(data.graph, data.labels, config),
        batch_plan(data.graph, data.labels, config),
        prefetch=config.images.prefetch,
        augment=module.augment,
    )

    def step(batch: Any) -> tuple[Tensor, int]:
        with torch.autocast("cpu", torch.bfloat16, enabled=_half(config)):
            loss = module.total(module.losses(batch))
        module.passes += batch.n_id.numel()
        return loss, batch.n_id.numel()

    return Parts(
        encoder=module.encoder,
        optimizer=optimizer_of(config, module, module.head),
        batches=endless(loader),
        step=step,
    )


def theirs(data: TrainingData, peer: Peer, config: RunConfig) -> Parts:
    """The encoder with the weights that ours begins with, and a peer's loss, in float32.

    Raises:
        ModuleNotFoundError: The peer's library is not installed.
    """
    torch.manual_seed(config.train.seed)
    encoder = Encoder(config.encoder).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    criterion = Criterion(peer, data.num_labels, config.encoder.dim)
    augment, reader = Augment(config.images, encoder.mean, encoder.std), data.reader
    assert isinstance(reader, ImageReader)
    top, seed = data.labels.top(), config.train.seed
    nodes = (top >= 0).nonzero()[0]
    if peer.per_label == 1:
        picked = distinct(nodes.size, peer.batch, seed)
    else:
        picked = by_label(top[nodes], peer.batch, peer.per_label, seed)

    def source() -> Iterator[PeerBatch]:
        return pictures(picked, reader, augment, nodes, top[nodes], seed)

    def step(batch: PeerBatch) -> tuple[Tensor, int]:
        with torch.autocast("cpu", torch.bfloat16, enabled=_half(config)):
            z = encoder(batch.x)
        return criterion(z, batch.label), len(batch.x)

    return Parts(
        encoder=encoder,
        optimizer=_adamw(nn.ModuleList([encoder, criterion]), peer.lr, config.train.weight_decay),
        batches=ahead(source, config.images.prefetch),
        step=step,
    )


def _adamw(module: nn.Module, lr: float, weight_decay: float) -> Optimizer:
    """As the recipe's: no weight decay on biases and norms."""
    every = list(module.parameters())
    groups = [
        {"params": [p for p in every if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in every if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, fused=True)


def _half(config: RunConfig) -> bool:
    return precision_of(config) == "bf16-mixed"
