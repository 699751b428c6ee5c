"""One step over a graph, block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from graphrise.ops.backend import Backend, choose
from graphrise.ops.sparse_rows.clamp import put_back
from graphrise.ops.sparse_rows.pages import let_go
from graphrise.ops.sparse_rows.plain import mixed_block
from graphrise.ops.sparse_rows.results import InFiles, InMemory, open_rows
from graphrise.ops.sparse_rows.rows import OP, SparseRows, check_nodes, check_weights, fixed

BLOCK_ENTRIES = 4_000_000
"""Neighbours' entries mixed at a time: bounds memory to a few hundred MB whatever the graph, and
what an interrupt waits for to a fraction of a second."""
_NARROW = 2**31
"""Below this many nodes neighbours are int32 to the loops."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Step:
    """A graph and what is done with its nodes' rows.

    Attributes:
        rowptr: `[N + 1]`.
        col: `[E]`.
        weight: `[E]`.
        own: Weight of a node's own row.
        power: Exponent.
        top: Entries kept a row.
        clamp: Rows that take the place of new ones where they are not empty.
        backend: As asked for.
    """

    rowptr: np.ndarray
    col: np.ndarray
    weight: np.ndarray
    own: float
    power: float
    top: int
    clamp: SparseRows | None
    backend: Backend | None

    def in_memory(self, rows: SparseRows, progress: Progress | None) -> SparseRows:
        """New rows as arrays."""
        results = InMemory(rows, self.rowptr.size - 1, self.top)
        self._run(rows, results, progress)
        return results.rows()

    def in_files(self, rows: SparseRows, folder: Path, progress: Progress | None) -> SparseRows:
        """New rows as mapped files of a folder that is made."""
        with InFiles(folder, rows) as results:
            self._run(rows, results, progress)
        return open_rows(folder)

    def _run(
        self, rows: SparseRows, results: InMemory | InFiles, progress: Progress | None
    ) -> None:
        nodes = self.rowptr.size - 1
        like = torch.empty(0, dtype=torch.float64)  # to be asked about a CPU; all loops take arrays
        if choose(OP, like, ("numba", "torch"), self.backend) == "numba":
            from graphrise.ops.cpu.sparse_rows import mixed_block as mixed
        else:
            mixed = mixed_block
        rows = SparseRows(*(fixed(OP, a, (a.dtype.name,)) for a in rows))
        for first, last in blocks(self.rowptr, rows.index.size / max(1, nodes)):
            rowptr, col, weight = self._block(first, last)
            found = mixed(first, rowptr, col, weight, rows, self.own, self.power, self.top)
            results.add(*(found if self.clamp is None else put_back(first, *found, self.clamp)))
            end = int(self.rowptr[last])
            for array, until in ((self.col, end), (self.weight, end), (self.rowptr, last)):
                let_go(array, until)
            if progress is not None:
                progress(last, nodes)

    def _block(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Nodes' row pointers from 0, neighbours and weights, checked."""
        nodes = self.rowptr.size - 1
        begin, end = int(self.rowptr[first]), int(self.rowptr[last])
        col, weight = self.col[begin:end], self.weight[begin:end]
        check_nodes(col, nodes, begin)
        check_weights("weight", weight, begin)
        rowptr = self.rowptr[first : last + 1].astype(np.int64) - begin
        kind = np.int32 if nodes < _NARROW else np.int64
        return rowptr, col.astype(kind), weight.astype(np.float64)


def blocks(rowptr: np.ndarray, per_edge: float) -> list[tuple[int, int]]:
    """Node ranges `[first, last)` whose neighbours have about BLOCK_ENTRIES entries.

    Args:
        rowptr: `[N + 1]`; a single node may have more.
        per_edge: Entries a neighbour, in the mean.
    """
    limit = max(1, int(BLOCK_ENTRIES / max(1.0, per_edge)))
    cuts = np.searchsorted(rowptr, np.arange(0, int(rowptr[-1]), limit))
    # Isolated nodes have no neighbours but own entries: cut by nodes too.
    nodes = rowptr.size - 1
    edges = np.unique(np.concatenate(([0], cuts, np.arange(0, nodes, limit), [nodes])))
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
