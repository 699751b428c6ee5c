"""The edge terms of one batch, from whatever its neighbours' embeddings are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphrise.nn.bank import EmbeddingBank
from graphrise.nn.regularizer import EdgeRegularizer


def edge_terms(
    omega: EdgeRegularizer,
    z: Tensor,
    batch: Data,
    bank: EmbeddingBank | None = None,
    *,
    step: int = 0,
    max_age: int | None = None,
) -> dict[str, Tensor]:
    """Omega per labelled image, and per unlabelled one whose own edges count.

    Args:
        omega: The distance.
        z: Embeddings `[N, D]` of the batch.
        batch: As `loader.batch.TrainingLoader` says.
        bank: Past embeddings, if the batch has edges to them. Edges to images that it has not seen
            yet count nothing.
        step: The present training step.
        max_age: Edges to embeddings that are older, in steps, count nothing; None: all do.

    Returns:
        Scalars `edge` and `edge_unlabelled`, each only where the batch has such edges.
    """
    edges, coefficient = batch.edge_index, batch.edge_coefficient
    assert edges is not None
    cut, counts = batch.num_seed_edges, (batch.batch_size, batch.num_others)
    parts = [(edges[:, :cut], coefficient[:cut]), (edges[:, cut:], coefficient[cut:])]
    if bank is not None and "bank_row" in batch:
        past, age = bank.read(batch.bank_node, step)
        usable = age >= 0 if max_age is None else (age >= 0) & (age <= max_age)
        place = z.size(0) + torch.arange(past.size(0), device=z.device)
        z = torch.cat((z, past.to(z.dtype)))
        more, value = torch.stack((batch.bank_row, place)), batch.bank_coefficient * usable
        cut = batch.num_seed_bank
        banked = [(more[:, :cut], value[:cut]), (more[:, cut:], value[cut:])]
        parts = [
            (torch.cat((e, f), dim=1), torch.cat((c, d)))
            for (e, c), (f, d) in zip(parts, banked, strict=True)
        ]
    names = ("edge", "edge_unlabelled")
    return {
        name: omega(z, e, c, count)
        for name, (e, c), count in zip(names, parts, counts, strict=True)
        if c.numel()
    }
