"""Ragged soft labels: each node's few labels with weights, in CSR form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ragged:
    """Label distributions of N nodes over a vocabulary.

    Attributes:
        rowptr: int64 `[N + 1]`; node i's entries are `rowptr[i]:rowptr[i + 1]`.
        index: int64 `[nnz]`, label ids (positions in the vocabulary), rising within a node.
        weight: float32 `[nnz]`, summing to 1 over a node with labels.
    """

    rowptr: np.ndarray
    index: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return self.rowptr.size - 1

    @property
    def counts(self) -> np.ndarray:
        """Labels of each node, int64 `[N]`; 0 is an unlabelled node."""
        return np.diff(self.rowptr)

    def top(self) -> np.ndarray:
        """Heaviest label of each node, int64 `[N]`, -1 = unlabelled; ties go to the lowest id."""
        out = np.full(len(self), -1, dtype=np.int64)
        row = np.repeat(np.arange(len(self)), self.counts)
        order = np.lexsort((-self.index, self.weight, row))
        out[row[order]] = self.index[order]  # the last write of a row is its heaviest entry
        return out

    def rows(self, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Entries of some nodes.

        Args:
            nodes: int64 `[B]`.

        Returns:
            `row` int64 `[E]` (position in `nodes`, rising), `index` int64 `[E]`, `weight`
            float32 `[E]`.
        """
        nodes = np.asarray(nodes)
        start, stop = self.rowptr[nodes], self.rowptr[nodes + 1]
        counts = stop - start
        row = np.repeat(np.arange(nodes.size), counts)
        offset = np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)
        at = start[row] + offset
        return row, np.asarray(self.index[at]), np.asarray(self.weight[at])


def from_entries(row: np.ndarray, index: np.ndarray, weight: np.ndarray, num_rows: int) -> Ragged:
    """Ragged rows from entries in any order; weights are made to sum to 1 over a row.

    Args:
        row: int64 `[E]` in `[0, num_rows)`.
        index: int64 `[E]`; an (row, index) pair must not repeat.
        weight: `[E]`, above 0.
        num_rows: N.
    """
    order = np.lexsort((index, row))
    row, index, weight = row[order], index[order], weight[order].astype(np.float64)
    rowptr = np.zeros(num_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(row, minlength=num_rows), out=rowptr[1:])
    total = np.bincount(row, weights=weight, minlength=num_rows)
    return Ragged(rowptr, index.astype(np.int64), (weight / total[row]).astype(np.float32))
