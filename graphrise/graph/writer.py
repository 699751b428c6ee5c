"""Sorted Parquet parts to the memory-mapped arrays of a graph folder, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from graphrise.graph.arrays import new_array
from graphrise.graph.draws import fill_draws
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import id_dtype

_BATCH = 1 << 20


def write_rows(
    parts: Sequence[Path],
    folder: Path,
    num_nodes: int,
    row: str,
    columns: dict[str, tuple[str, type]],
    rowptr: str,
) -> None:
    """Write CSR arrays of rows that come sorted.

    Args:
        parts: Parquet parts, in order.
        folder: Where the .npy files go.
        num_nodes: N.
        row: Column with the node, rising over the parts.
        columns: For each column to write, its file (without .npy) and dtype.
        rowptr: File of the row pointers, int64 `[N + 1]`.
    """
    total = sum(pq.read_metadata(part).num_rows for part in parts)
    out = {
        column: new_array(folder / f"{name}.npy", dtype, total)
        for column, (name, dtype) in columns.items()
    }
    counts = np.zeros(num_nodes, dtype=np.int64)
    at = 0
    for batch in _batches(parts, [row, *columns]):
        nodes = batch[row].to_numpy(zero_copy_only=False)
        first = int(nodes[0])
        found = np.bincount(nodes - first)
        counts[first : first + found.size] += found
        for column, array in out.items():
            array[at : at + nodes.size] = batch[column].to_numpy(zero_copy_only=False)
        at += nodes.size
    pointers = new_array(folder / f"{rowptr}.npy", np.int64, num_nodes + 1)
    pointers[0] = 0
    np.cumsum(counts, out=pointers[1:])


def write_edges(parts: Sequence[Path], folder: Path, num_nodes: int) -> None:
    """Write `rowptr`, `col`, `weight`, `kind`, `strength` and `cumulative`.

    Args:
        parts: Of `merge.export_edges`; none: a graph without edges.
        folder: Where the .npy files go.
        num_nodes: N.
    """
    columns = {
        "target": ("col", id_dtype(num_nodes)),
        "weight": ("weight", np.float32),
        "kind": ("kind", np.uint8),
    }
    write_rows(parts, folder, num_nodes, "source", columns, "rowptr")
    rowptr, weight = (np.load(folder / f"{n}.npy", mmap_mode="r") for n in ("rowptr", "weight"))
    strength = new_array(folder / "strength.npy", np.float64, num_nodes)
    cumulative = new_array(folder / "cumulative.npy", np.uint32, weight.size)
    fill_draws(rowptr, weight, strength, cumulative)


def write_labels(parts: Sequence[Path], folder: Path, source: str, num_nodes: int) -> None:
    """Write the ragged labels of a source from entries (node, label, weight)."""
    columns = {
        "label": (f"labels_{source}_index", np.int64),
        "weight": (f"labels_{source}_weight", np.float32),
    }
    write_rows(parts, folder, num_nodes, "node", columns, f"labels_{source}_rowptr")


def save_ragged(ragged: Ragged, folder: Path, source: str) -> None:
    """Write the ragged labels of a source that are in memory."""
    for part in ("rowptr", "index", "weight"):
        np.save(folder / f"labels_{source}_{part}.npy", getattr(ragged, part))


def word_batches(parts: Sequence[Path]) -> Iterator[pa.Array]:
    """The one column of Parquet parts, in order."""
    for batch in _batches(parts):
        yield batch.column(0)


def _batches(parts: Sequence[Path], columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    for part in parts:
        for batch in pq.ParquetFile(part).iter_batches(batch_size=_BATCH, columns=columns):
            if batch.num_rows:
                yield batch
