"""Part `open` of case `graph`: 20M nodes and 200M edges opened and served without being read.

The graph folder (3.4 GB; made once, in about a minute, with 5 GB of memory) is kept. Opening and
serving are measured in a process of their own, whose memory is then theirs, and with the page cache
warm: what is timed is the work, not the disk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from benchmarks.rows import Row
from graphrise.data.files import whole_folder
from graphrise.graph.draws import fill_draws
from graphrise.graph.names import write_names
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import GIVEN, KINDS, Graph, finish_folder, id_dtype, open_graph
from graphrise.images.reader import ImageReader
from graphrise.loader.batch import neighbor_loader, without_edges
from graphrise.loader.sampler import PairSampler
from graphrise.ops.counter_random import counter_uniform
from graphrise.train.folder import peak_mib

NODES, EDGES = 20_000_000, 200_000_000
BATCHES, BATCH_SIZE, NEIGHBORS = 1000, 512, 1
LABELLED, WORDS = 0.1, 1000
_BLOCK = 1 << 22
pc: Any = pyarrow.compute  # its functions are made at import; type checkers see none
_ARRAYS = ("rowptr", "col", "weight", "kind", "strength", "cumulative")


def write_big_graph(path: Path, nodes: int = NODES, edges: int = EDGES, seed: int = 0) -> None:
    """Write a seeded graph folder: symmetric, skewed degrees and weights, a tenth labelled.

    The node of rank r is an end of an edge with probability about r^-0.5, so that the largest row
    has thousands of times the median's edges; a weight falls below w with probability 1 - w^-2.

    Args:
        path: Folder to write; must not exist.
        nodes: N.
        edges: Directed edges, about: pairs drawn twice and loops are dropped.
        seed: Everything follows from it.
    """
    with whole_folder(path, overwrite=False, mark="graph.json") as folder:
        _write_edges(folder, nodes, _sorted_keys(nodes, edges, seed), seed)
        _write_nodes(folder, nodes, seed)
        finish_folder(folder, ["given"], KINDS, {"counts": {}, "warnings": []})


def _sorted_keys(nodes: int, edges: int, seed: int) -> np.ndarray:
    """Both directions of every edge as u N + v, sorted: int64."""
    half = edges // 2
    keys = np.empty(2 * half, dtype=np.int64)
    for first in range(0, half, _BLOCK):
        number = np.arange(first, min(first + _BLOCK, half))
        # The inverse of the distribution of ranks; the multiplier, a prime, scatters the hubs.
        u, v = (
            (counter_uniform(seed, end, number) ** 2 * nodes).astype(np.int64) * 0x9E3779B1 % nodes
            for end in (1, 2)
        )
        keys[first : first + number.size] = u * nodes + v
        keys[half + first : half + first + number.size] = v * nodes + u
    keys.sort()
    kept, before = 0, -1
    for first in range(0, keys.size, _BLOCK):
        part = keys[first : first + _BLOCK].copy()
        new = np.diff(part, prepend=before) > 0
        before = part[-1]
        part = part[new & (part // nodes != part % nodes)]
        keys[kept : kept + part.size] = part
        kept += part.size
    return keys[:kept]


def _write_edges(folder: Path, nodes: int, keys: np.ndarray, seed: int) -> None:
    def array(name: str, kind: type[np.generic], size: int) -> np.ndarray:
        return open_memmap(folder / f"{name}.npy", "w+", np.dtype(kind), (size,))

    rowptr = array("rowptr", np.int64, nodes + 1)
    col = array("col", id_dtype(nodes), keys.size)
    weight = array("weight", np.float32, keys.size)
    array("kind", np.uint8, keys.size)[:] = GIVEN
    rowptr[:] = np.searchsorted(keys, np.arange(nodes + 1) * nodes)
    for first in range(0, keys.size, _BLOCK):
        part = slice(first, first + _BLOCK)
        u, v = np.divmod(keys[part], nodes)
        col[part] = v
        share = counter_uniform(seed, 3, np.minimum(u, v), np.maximum(u, v))
        weight[part] = (1 - share) ** -0.5
    strength = array("strength", np.float64, nodes)
    fill_draws(rowptr, weight, strength, array("cumulative", np.uint32, keys.size))


def _write_nodes(folder: Path, nodes: int, seed: int) -> None:
    node = np.arange(nodes)
    labelled = counter_uniform(seed, 4, node) < LABELLED
    label = (counter_uniform(seed, 5, np.flatnonzero(labelled)) * WORDS).astype(np.int64)
    np.save(folder / "labels_given_rowptr.npy", np.concatenate(([0], np.cumsum(labelled))))
    np.save(folder / "labels_given_index.npy", label)
    np.save(folder / "labels_given_weight.npy", np.ones(label.size, dtype=np.float32))
    ids = (
        pc.binary_join_element_wise("image-", pc.cast(pa.array(part), pa.string()), "")
        for part in np.array_split(node, -(-nodes // _BLOCK))
    )
    write_names(folder / "nodes.arrow", ids, pa.string())
    words = pa.array([f"label-{i}" for i in range(WORDS)])
    write_names(folder / "vocabulary_given.arrow", [words], pa.string())


class _NoPictures(ImageReader):
    """One grey pixel an image: decoding is not measured here."""

    def __init__(self) -> None:
        """Nothing to open."""

    def read_noting(self, positions: Tensor) -> tuple[Tensor, dict[int, str]]:
        """Zeros, uint8 `[B, 3, 1, 1]`; none is bad."""
        return torch.zeros(positions.numel(), 3, 1, 1, dtype=torch.uint8), {}


def _loaded(folder: Path) -> Graph:
    """The graph with every array in memory, as one without maps would have it."""

    def load(name: str) -> np.ndarray:
        return np.load(folder / f"{name}.npy")

    labels = Ragged(*(load(f"labels_given_{part}") for part in ("rowptr", "index", "weight")))
    arrays = {name: load(name) for name in _ARRAYS}
    return dataclasses.replace(open_graph(folder), labels={"given": labels}, **arrays)


def _serve(folder: Path, batches: int, *, mapped: bool) -> dict[str, Any]:
    """Open and serve in this process; its memory must be its imports' only.

    Returns:
        Seconds: `open`, `first` (batch, with the order of the epoch), `batch` (the others); MiB:
        `before` and `peak`.
    """
    before = _status("VmRSS")
    # The peak so far, of the imports, is forgotten where the system lets us.
    refs = Path("/proc/self/clear_refs")
    with contextlib.suppress(OSError):
        refs.write_text("5")
    opening = []
    for _ in range(5 if mapped else 1):
        start = time.perf_counter()
        graph = open_graph(folder) if mapped else _loaded(folder)
        opening.append(time.perf_counter() - start)
    torch.set_num_threads(1)
    sampler = PairSampler(graph, NEIGHBORS)
    loader = neighbor_loader(
        without_edges(graph), _NoPictures(), graph.labels["given"], sampler, batch_size=BATCH_SIZE
    )
    took, edges = [], 0
    start = time.perf_counter()
    for batch in itertools.islice(loader, batches):
        took.append(time.perf_counter() - start)
        edges += batch.num_edges
        start = time.perf_counter()
    assert len(took) == batches
    assert edges > 0.9 * batches * BATCH_SIZE
    peak = max(_status("VmHWM"), before)
    return {"open": opening, "first": took[0], "batch": took[1:], "before": before, "peak": peak}


def _status(name: str) -> float:
    """Resident memory of this process in MiB, now or at its peak."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return peak_mib()  # since the process began
    line = next(x for x in status.read_text().splitlines() if x.startswith(f"{name}:"))
    return int(line.split()[1]) / 2**10


def _served_apart(folder: Path, batches: int, how: str) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.big_graph"]
    command += [str(folder.resolve()), str(batches), how]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def run(folder: Path, batches: int = BATCHES) -> list[Row]:
    """Make the graph if it is not there, open and serve it in fresh processes, give the rows.

    Args:
        folder: The graph folder; left in place.
        batches: Batches served.
    """
    if not (folder / "graph.json").is_file():
        write_big_graph(folder)
    ours = _served_apart(folder, batches, "mapped")
    theirs = _served_apart(folder, batches, "loaded")
    meta = json.loads((folder / "graph.json").read_text(encoding="utf-8"))
    size = f"{meta['nodes']:,} nodes, {meta['edges']:,} edges, page cache warm"
    served = f"{size}; {batches:,} batches of {BATCH_SIZE} seeds, {NEIGHBORS} neighbour each"

    def row(metric: str, unit: str, values: Sequence[float], held: str, at: Sequence[float]) -> Row:
        return Row(
            case="graph",
            variant="mapped graph",
            metric=metric,
            values=values,
            unit=unit,
            baseline=held,
            baseline_values=at,
            higher_is_better=False,
            peak_mib=ours["peak"],
            size=size if metric == "open" else served,
        )

    loaded, data = "arrays in memory", "PyG Data: 20 bytes an edge"
    # Two int64 ends and a float32 weight; nothing of its row pointers and sampler counted.
    as_data = meta["edges"] * (2 * 8 + 4) / 2**20
    grown, theirs_grown = (r["peak"] - r["before"] for r in (ours, theirs))
    opened = [[1000 * s for s in r["open"]] for r in (ours, theirs)]
    each = [[1000 * s for s in r["batch"]] for r in (ours, theirs)]
    return [
        row("open", "ms", opened[0], loaded, opened[1]),
        row("peak beyond imports", "MiB", [grown], loaded, [theirs_grown]),
        row("peak beyond imports", "MiB", [grown], data, [as_data]),
        row("first batch, with the order", "s", [ours["first"]], loaded, [theirs["first"]]),
        row("batch, no pictures", "ms", each[0], loaded, each[1]),
    ]


if __name__ == "__main__":
    _, _folder, _batches, _how = sys.argv
    print(json.dumps(_serve(Path(_folder), int(_batches), mapped=_how == "mapped")))
