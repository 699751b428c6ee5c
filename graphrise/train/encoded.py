"""A graph's images as the model sees them now: embeddings, and the labels it takes them for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphrise.images.readers import Reader
from graphrise.train.module import GraphRise


@torch.inference_mode()
def encoded(
    module: GraphRise,
    reader: Reader,
    nodes: np.ndarray,
    batch_size: int,
    *,
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[tuple[slice, Tensor]]:
    """Embeddings of some nodes' images, without augmentation, block by block.

    The encoder is in evaluation mode and in the precision that it is trained in. Every rank gets as
    many blocks as every other, of sizes that differ by one at most, so that a head of several ranks
    may be asked after each.

    Args:
        module: Its device is used, and where pictures cannot be read it gets to know.
        reader: Images by node.
        nodes: int64 `[M]`.
        batch_size: Images at a time.
        rank: Which part of the blocks is given.
        ranks: Number of parts.

    Yields:
        Places in `nodes`, and float32 `[B, D]` on the module's device; a picture that could not be
        read, where that is allowed, has an embedding of length 0.

    Raises:
        DataError: A picture cannot be read.
    """
    encoder, training = module.encoder, module.encoder.training
    parts = ranks * -(-nodes.size // (batch_size * ranks))
    encoder.eval()
    try:
        for part in range(rank, parts, ranks):
            place = slice(part * nodes.size // parts, (part + 1) * nodes.size // parts)
            positions = torch.from_numpy(nodes[place])
            if positions.numel() == 0:
                yield place, torch.empty(0, encoder.dim, device=module.device)
                continue
            x, bad = reader.read_noting(positions)
            with module.trainer.precision_plugin.forward_context():
                z = encoder(module.augment(x.to(module.device))).float()
            if bad:
                module.bad_images.update(bad)
                z[torch.isin(positions, torch.tensor(sorted(bad))).to(z.device)] = 0
            yield place, z
    finally:
        encoder.train(training)


def directions(z: Tensor) -> np.ndarray:
    """Embeddings of length 1 (or 0) as float16 `[B, D]`: all that cosines need."""
    return F.normalize(z, dim=1).half().cpu().numpy()


def predicted(module: GraphRise, z: Tensor, top: int) -> tuple[np.ndarray, np.ndarray]:
    """The model's own top labels of some images.

    Args:
        module: Its head is asked.
        z: float32 `[B, D]`, embeddings.
        top: Labels an image.

    Returns:
        int64 `[B, top]`, labels, rising within a row, and float32 `[B, top]`, their probabilities
        as shares of the sum of these; 0 for embeddings of length 0.
    """
    logits, label = module.head.top_labels(z, top)
    label, order = label.sort(dim=1)
    # A softmax over a part of the labels is the softmax over all of them, of sum 1 anew.
    weight = torch.softmax(logits.float(), dim=1).gather(1, order)
    weight *= (z != 0).any(dim=1, keepdim=True)
    return label.cpu().numpy(), weight.cpu().numpy()
