"""What every sampler shares: from drawn edges to the images of a batch."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)

from graphrise.graph.pages import Scattered
from graphrise.graph.store import Graph
from graphrise.loader.factors import EdgeFactors

NeighborEmbeddings = Literal["encoder", "stop_gradient", "bank"]
_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class DrawnEdges:
    """Edges of a batch, each from an image whose edge term is estimated.

    Attributes:
        others: int64 `[U]`, unlabelled images whose own edge term is estimated too.
        row: int64 `[E]`, position among the labelled images and then `others`; rising.
        edge: int64 `[E]`, position in CSR order.
        coefficient: float32 `[E]`, what each edge's distance counts in the estimate, without the
            factors of `EdgeSampler`.
    """

    others: np.ndarray
    row: np.ndarray
    edge: np.ndarray
    coefficient: np.ndarray


@dataclass
class Sample(SamplerOutput):
    """PyG's sampler output, and what else a batch is told (`batch.TrainingLoader` lists it)."""

    extras: dict[str, Tensor | int] = field(default_factory=dict)


class EdgeSampler(BaseSampler):
    """Draws edges for labelled images and says which images that makes to decode and encode.

    Attributes:
        seed: Every draw follows from it.
        epoch: Enters every draw; set it before iterating (`plan.BatchPlan.set_epoch` does).
        neighbors: Where the embeddings of drawn neighbours come from: `encoder` (with gradient),
            `stop_gradient` (encoded without), `bank` (a table; they are neither decoded nor
            encoded). An image that is in the batch anyway is always taken from there.
        factors: What edges count beside that, by kind and labels; None: nothing.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        neighbors: NeighborEmbeddings,
        seed: int,
        factors: EdgeFactors | None = None,
    ) -> None:
        """Sample from `graph`."""
        self._col, self._kind = Scattered(graph.col), Scattered(graph.kind)
        self.factors = factors
        self.neighbors: NeighborEmbeddings = neighbors
        self.seed, self.epoch = seed, 0

    @abstractmethod
    def draw(self, seeds: np.ndarray, others: np.ndarray) -> DrawnEdges:
        """Edges of labelled images (int64 `[B]`) and, among unlabelled ones, of `others`."""

    def sample(
        self, seeds: np.ndarray, others: np.ndarray = _NONE, sweep: np.ndarray = _NONE
    ) -> Sample:
        """The images of a batch and the edges between them; every image is in it once.

        Args:
            seeds: int64 `[B]`, labelled images, distinct.
            others: int64, unlabelled images whose edges count too, distinct.
            sweep: int64, images to encode for the bank, without gradient.
        """
        drawn = self.draw(seeds, others)
        anchors = np.concatenate((seeds, drawn.others))
        neighbor = self._col.at(drawn.edge).astype(np.int64)
        kind, coefficient = self._kind.at(drawn.edge), drawn.coefficient
        if self.factors is not None:
            coefficient = coefficient * self.factors.of(kind, neighbor, drawn.row, seeds.size)
        col, extra = _joined(anchors, neighbor)
        own = extra if self.neighbors == "encoder" else _NONE
        forward = extra if self.neighbors == "stop_gradient" else _NONE
        node = np.concatenate((anchors, own, forward))
        if sweep.size:
            forward = np.setdiff1d(np.union1d(forward, sweep), np.concatenate((anchors, own)))
            node = np.concatenate((anchors, own, forward))
            col, _ = _joined(node, neighbor)
        inside = col < node.size
        seed_edges = int(np.searchsorted(drawn.row[inside], seeds.size))
        banked = ~inside
        extras: dict[str, Tensor | int] = {
            "num_others": drawn.others.size,
            "num_forward": forward.size,
            "num_seed_edges": seed_edges,
            "edge_coefficient": torch.from_numpy(coefficient[inside]),
            "edge_kind": torch.from_numpy(kind[inside].astype(np.int64)),
        }
        if self.neighbors == "bank":
            extras |= {
                "bank_row": torch.from_numpy(drawn.row[banked]),
                "bank_node": torch.from_numpy(neighbor[banked]),
                "bank_coefficient": torch.from_numpy(coefficient[banked]),
                "bank_kind": torch.from_numpy(kind[banked].astype(np.int64)),
                "num_seed_bank": int(np.searchsorted(drawn.row[banked], seeds.size)),
            }
        edge = drawn.edge[inside]
        return Sample(
            node=torch.from_numpy(node),
            row=torch.from_numpy(drawn.row[inside]),
            col=torch.from_numpy(col[inside]),
            edge=torch.from_numpy(edge),
            num_sampled_nodes=[seeds.size, node.size - seeds.size],
            num_sampled_edges=[edge.size],
            metadata=(torch.from_numpy(seeds), None),
            extras=extras,
        )

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: object) -> SamplerOutput:
        """PyG's entry: seeds first, then each drawn neighbour once; `row` seeds, `col` drawn."""
        found = self.sample(index.node.numpy())
        found.metadata = (index.input_id, None)
        return found

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> SamplerOutput:
        """Not offered: training here starts from labelled images, not from edges."""
        raise TypeError(f"{type(self).__name__} samples from nodes; use it with NodeLoader")


def _joined(node: np.ndarray, more: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Append to distinct nodes those of `more` that are not among them.

    Args:
        node: int64 `[N]`.
        more: int64 `[E]`.

    Returns:
        Places of `more` in the longer list, int64 `[E]`, and what is appended, int64 `[M]`, rising.
    """
    value, first, place = np.unique(
        np.concatenate((node, more)), return_index=True, return_inverse=True
    )
    new = first >= node.size
    first[new] = node.size + np.arange(np.count_nonzero(new))
    return first[place[node.size :]], value[new]
