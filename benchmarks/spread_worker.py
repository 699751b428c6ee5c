"""Part of case `spread`: makes a graph with labels, and spreads them in the process that this is.

`python -m benchmarks.spread_worker SETTINGS` prints seconds, entries and peak memory as JSON.
"""

from __future__ import annotations

import functools
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import first_to_go, own_peak_mib
from graphrise.data.files import whole_folder
from graphrise.graph.arrays import new_array
from graphrise.ops.counter_random import counter_uniform
from graphrise.ops.sparse_rows import SparseRows, propagate_sparse

LABELS, EACH, TOP = 40_000_000, 8, 8
"""Labels there are, an image's before, and at most an image's after."""
WAYS = ("memory", "files", "numpy", "scipy")
"""Ours with results in memory and in files, the one without a compiler, and scipy's product."""
_BLOCK = 1 << 21
_GRAPH, _ROWS = ("rowptr", "col", "weight"), ("label_rowptr", "label_index", "label_weight")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one process does.

    Attributes:
        folder: Of `make`.
        ways: Of WAYS, in turn.
        repetitions: Of each.
    """

    folder: str
    ways: list[str]
    repetitions: int


def make(folder: Path, nodes: int, edges: int, seed: int = 0) -> None:
    """Write a seeded graph and labels, in blocks: a few hundred MB of memory whatever the size.

    A node has more than d neighbours with probability about (m / d)^2, and as its neighbour the
    node of rank r is drawn with probability about r^-0.5, wherever it is: nearby nodes are no
    neighbours. Labels are log-uniform.

    Args:
        folder: To write; must not exist.
        nodes: N.
        edges: Directed edges, about.
        seed: Everything follows from it.
    """
    with whole_folder(folder, overwrite=False) as new:
        rowptr = new_array(new / "rowptr.npy", np.int64, nodes + 1)
        rowptr[0] = 0
        for first, last in _blocks(nodes):
            u = counter_uniform(seed, 1, np.arange(first, last))
            degree = (edges / nodes / 2 * (1 - u) ** -0.5 + 0.5).astype(np.int64)
            rowptr[first + 1 : last + 1] = rowptr[first] + np.cumsum(degree)
        size = int(rowptr[-1])
        col = new_array(new / "col.npy", np.int32, size)
        weight = new_array(new / "weight.npy", np.float32, size)
        for first, last in _blocks(size):
            number = np.arange(first, last)
            rank = (counter_uniform(seed, 2, number) ** 2 * nodes).astype(np.int64)
            col[first:last] = rank * 0x9E3779B1 % nodes
            weight[first:last] = counter_uniform(seed, 3, number)
        _write_labels(new, nodes, seed)


def _write_labels(folder: Path, nodes: int, seed: int) -> None:
    np.save(folder / "label_rowptr.npy", np.arange(0, EACH * nodes + 1, EACH))
    index = new_array(folder / "label_index.npy", np.int32, EACH * nodes)
    weight = new_array(folder / "label_weight.npy", np.float32, EACH * nodes)
    for first, last in _blocks(nodes):
        number = np.arange(EACH * first, EACH * last)
        label = np.expm1(counter_uniform(seed, 4, number) * np.log(LABELS)).reshape(-1, EACH)
        share = counter_uniform(seed, 5, number).reshape(-1, EACH) + 0.1
        part = slice(EACH * first, EACH * last)
        index[part] = np.sort(label.astype(np.int32)).ravel()
        weight[part] = (share / share.sum(axis=1, keepdims=True)).ravel()


def _blocks(size: int) -> list[tuple[int, int]]:
    return [(first, min(first + _BLOCK, size)) for first in range(0, size, _BLOCK)]


def measure(work: Work) -> dict[str, Any]:
    """Spread the labels in each way, in turn.

    Returns:
        "seconds" by way, "edges", "entries" (labels read: the own ones and the neighbours'), "kept"
        (labels of the result) and "peak_mib" (memory of the process at most).
    """
    graph, rows = ([_mapped(work.folder, n) for n in names] for names in (_GRAPH, _ROWS))
    nodes, edges = graph[0].size - 1, graph[1].size
    ways = {name: _way(name, graph, SparseRows(*rows), Path(work.folder)) for name in work.ways}
    _compile(graph[1].dtype, rows)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    kept = 0
    for _ in range(work.repetitions):
        for name, way in ways.items():
            start = time.perf_counter()
            found = way()
            seconds[name].append(time.perf_counter() - start)
            kept = found if name != "scipy" else kept
    return {
        "seconds": seconds,
        "edges": edges,
        "entries": EACH * (edges + nodes),
        "kept": kept,
        "peak_mib": own_peak_mib(),
    }


def _mapped(folder: str, name: str) -> np.ndarray:
    return np.load(Path(folder) / f"{name}.npy", mmap_mode="r").view(np.ndarray)


def _way(name: str, graph: list[np.ndarray], rows: SparseRows, folder: Path) -> Callable[[], int]:
    """A function that spreads and gives the number of labels kept."""
    if name == "scipy":
        return functools.partial(_scipy, graph, rows)
    if name == "files":
        return functools.partial(_files, graph, rows, folder.with_name(f"{folder.name}-spread"))
    rowptr, col, weight = graph
    backend = "torch" if name == "numpy" else "numba"
    return lambda: propagate_sparse(rowptr, col, weight, rows, top=TOP, backend=backend).index.size


def _files(graph: list[np.ndarray], rows: SparseRows, folder: Path) -> int:
    rowptr, col, weight = graph
    try:
        return propagate_sparse(rowptr, col, weight, rows, top=TOP, folder=folder).index.size
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _scipy(graph: list[np.ndarray], rows: SparseRows) -> int:
    """The sums alone: nothing is sharpened, cut or put in order."""
    # Not a dependency of the library.
    from scipy.sparse import csr_array  # pyright: ignore[reportMissingImports]

    nodes = graph[0].size - 1
    of_graph = csr_array((graph[2], graph[1], graph[0].astype(np.int32)), (nodes, nodes))
    of_rows = csr_array((rows.weight, rows.index, rows.rowptr.astype(np.int32)), (nodes, LABELS))
    return (of_rows + of_graph @ of_rows).nnz


def _compile(kind: np.dtype, rows: list[np.ndarray]) -> None:
    """Compile the loops before anything is timed."""
    one = SparseRows(np.array([0, 1]), *(np.ones(1, dtype=array.dtype) for array in rows[1:]))
    propagate_sparse(np.array([0, 1]), np.zeros(1, dtype=kind), np.ones(1), one)


def main(settings: str) -> None:
    """Print the figures, or that an allocation failed."""
    first_to_go()
    try:
        found = measure(Work(**json.loads(settings)))
    except MemoryError:
        found = {"missing": "memory could not be allocated"}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
