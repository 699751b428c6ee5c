"""What others keep 3 x the table for: the same loss over PyTorch's own ways to update rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer, SparseAdam

TABLES = 3
"""Of the size of the weights: those and Adam's two moments, or those, gradient and momentum."""


class SparseRows(nn.Module):
    """`nn.Embedding(sparse=True)`: a sparse gradient, for SparseAdam; its moments are dense."""

    def __init__(self, num_labels: int, dim: int) -> None:
        """Make the table `[C, D]`, float32."""
        super().__init__()
        self.num_labels = num_labels
        self.rows = nn.Embedding.from_pretrained(_made(num_labels, dim), freeze=False, sparse=True)

    def gather(self, rows: Tensor, device: torch.device) -> Tensor:
        """As `LabelTable.gather`."""
        return self.rows(rows).to(device)

    def optimizer(self) -> Optimizer:
        """SparseAdam as it comes."""
        return SparseAdam(list(self.parameters()))


class DenseRows(nn.Module):
    """A parameter whose sampled rows are used, as Partial FC: its gradient is of all the rows."""

    def __init__(self, num_labels: int, dim: int) -> None:
        """Make the table `[C, D]`, float32."""
        super().__init__()
        self.num_labels = num_labels
        self.weight = nn.Parameter(_made(num_labels, dim))

    def gather(self, rows: Tensor, device: torch.device) -> Tensor:
        """As `LabelTable.gather`."""
        return self.weight.index_select(0, rows).to(device)

    def optimizer(self) -> Optimizer:
        """SGD with the momentum that Partial FC trains with."""
        return SGD(self.parameters(), lr=0.1, momentum=0.9)


def _made(num_labels: int, dim: int) -> Tensor:
    bound = (3 / dim) ** 0.5
    return torch.empty(num_labels, dim).uniform_(-bound, bound)
