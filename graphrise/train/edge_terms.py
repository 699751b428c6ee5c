"""The edge terms of one batch, from whatever its neighbours' embeddings are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphrise.nn.bank import EmbeddingBank
from graphrise.nn.regularizer import EdgeRegularizer, edge_gate


@dataclass(frozen=True)
class EdgeTerm:
    """Edges of one term, and how far apart their ends are.

    Attributes:
        index: int64 `[2, E]`, rows of the batch's embeddings and, after them, of the bank's.
        coefficient: float32 `[E]`, what each distance counts.
        kind: int64 `[E]`, bits of the graph's kinds of edges; 0: not known.
        distance: `[E]`.
        images: Whose Omega it is, those without edges included.
    """

    index: Tensor
    coefficient: Tensor
    kind: Tensor
    distance: Tensor
    images: int

    def mean(self) -> Tensor:
        """Omega per image, scalar."""
        return (self.distance * self.coefficient).sum() / self.images

    def detached(self) -> EdgeTerm:
        """The same without gradient: to be kept beyond the step."""
        return replace(self, distance=self.distance.detach())

    @torch.no_grad()
    def by_kind(self, kinds: Mapping[str, int]) -> dict[str, Tensor]:
        """What the edges of each kind add to `mean`, those of several kinds to each of them.

        Args:
            kinds: Bits of the kinds, by name.

        Returns:
            Scalars by name, of the kinds that an edge is of.
        """
        parts = self.distance * self.coefficient / self.images
        of = {name: (self.kind & bit) != 0 for name, bit in kinds.items()}
        return {name: parts[edges].sum() for name, edges in of.items() if bool(edges.any())}


def edge_terms(
    omega: EdgeRegularizer,
    z: Tensor,
    batch: Data,
    bank: EmbeddingBank | None = None,
    *,
    compared: Tensor | None = None,
    step: int = 0,
    max_age: int | None = None,
    gate: float = 0.0,
) -> dict[str, EdgeTerm]:
    """Omega of labelled images, and of unlabelled ones whose own edges count.

    Args:
        omega: The distance.
        z: Embeddings `[N, D]` of the batch.
        batch: As `loader.batch.TrainingLoader` says.
        bank: Past embeddings, if the batch has edges to them. Edges to images that it has not seen
            yet count nothing.
        compared: What distances are between, `[N, ...]`, and with a bank what that keeps; None: z.
        step: The present training step.
        max_age: Edges to embeddings that are older, in steps, count nothing; None: all do.
        gate: Power of `edge_gate`, a further factor on the coefficients; 0: none.

    Returns:
        `edge` and `edge_unlabelled`, each only where the batch has such edges.
    """
    points = z if compared is None else compared
    edges = _Edges.of(batch["edge_index"], batch.edge_coefficient, batch, "edge_kind")
    parts = edges.cut(batch.num_seed_edges)
    if bank is not None and "bank_row" in batch:
        past, age = bank.read(batch.bank_node, step)
        usable = age >= 0 if max_age is None else (age >= 0) & (age <= max_age)
        place = points.size(0) + torch.arange(past.size(0), device=z.device)
        # The gate sees them too: what a bank keeps has the embeddings' directions.
        z = points = torch.cat((points, past.to(points.dtype)))
        index, value = torch.stack((batch.bank_row, place)), batch.bank_coefficient * usable
        banked = _Edges.of(index, value, batch, "bank_kind").cut(batch.num_seed_bank)
        parts = [mine.joined(more) for mine, more in zip(parts, banked, strict=True)]
    names, counts = ("edge", "edge_unlabelled"), (batch.batch_size, batch.num_others)
    found: dict[str, EdgeTerm] = {}
    for name, part, count in zip(names, parts, counts, strict=True):
        if part.coefficient.numel():
            weight, far = part.coefficient, omega.distances(points, part.index)
            weight = weight * edge_gate(z, part.index, gate) if gate > 0 else weight
            found[name] = EdgeTerm(part.index, weight, part.kind, far, count)
    return found


@dataclass(frozen=True)
class _Edges:
    """Edges of labelled images, and then of others."""

    index: Tensor
    coefficient: Tensor
    kind: Tensor

    @classmethod
    def of(cls, index: Tensor, coefficient: Tensor, batch: Data, kind: str) -> _Edges:
        """With the kinds that a batch names, if it does."""
        unknown = torch.zeros_like(coefficient, dtype=torch.long)
        return cls(index, coefficient, batch.get(kind, unknown))

    def cut(self, count: int) -> list[_Edges]:
        """The first `count`, and the others."""
        return [
            _Edges(self.index[:, some], self.coefficient[some], self.kind[some])
            for some in (slice(count), slice(count, None))
        ]

    def joined(self, more: _Edges) -> _Edges:
        """These and more."""
        return _Edges(
            torch.cat((self.index, more.index), dim=1),
            torch.cat((self.coefficient, more.coefficient)),
            torch.cat((self.kind, more.kind)),
        )
