"""kNN edges: speed of the exact search, of the lists at their recall, and the peer's graph."""

from __future__ import annotations

import json
import multiprocessing
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.rows import Row
from graphrise.config.graph import KnnConfig
from graphrise.graph.knn.edges import knn_edges
from graphrise.graph.knn.embeddings import read_embeddings
from graphrise.graph.knn.search import SPARE, Nearest
from graphrise.graph.knn.space import Space

EXCUSED = 1e-6
"""Pairs whose cosine is so near the threshold may differ by rounding; they are counted apart."""


def points(nodes: int, dims: int, clusters: int, sigma: float, seed: int = 0) -> np.ndarray:
    """Normal clusters, and a tenth of the points somewhere between two of them.

    Args:
        nodes: N.
        dims: D.
        clusters: Their centres are standard normal.
        sigma: Standard deviation around a centre.
        seed: Everything follows from it.

    Returns:
        float32 `[N, D]`.
    """
    random = np.random.default_rng(seed)
    centres = random.standard_normal((clusters, dims), dtype=np.float32)
    one, other = random.integers(clusters, size=(2, nodes))
    share = np.where(random.random(nodes) < 0.1, random.random(nodes), 0).astype(np.float32)
    vectors = centres[one] * (1 - share[:, None]) + centres[other] * share[:, None]
    vectors += sigma * random.standard_normal((nodes, dims), dtype=np.float32)
    return vectors


def exact(
    repetitions: int = 3, nodes: int = 100_000, dims: int = 64, k: int = 10, seed: int = 0
) -> list[Row]:
    """`knn_edges` with every pair compared, against the two obvious ways, taken in turns."""
    vectors = points(nodes, dims, max(1, nodes // 100), 0.6, seed)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    runs: dict[str, Callable[[], Any]] = {
        "kNN edges, exact": lambda: _edges(vectors, KnnConfig(top_k=k, exact_up_to=nodes)),
        "torch matmul + topk, 1024 x 16384": lambda: _torch_loop(torch.from_numpy(unit), k),
        "faiss.knn": lambda: _faiss_loop(unit, k),
    }
    speed: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repetitions):
        for name, run in runs.items():
            flops = 2 * nodes * nodes * dims
            speed[name].append(flops / _seconds(run) / 1e9 / torch.get_num_threads())
    ours, *others = runs
    return [
        Row(
            case="graph",
            variant=ours,
            metric="exact speed",
            values=speed[ours],
            unit="GFLOP/s a core",
            baseline=other,
            baseline_values=speed[other],
            peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            size=f"{nodes:,} x {dims}, k {k}, {torch.get_num_threads()} threads",
        )
        for other in others
    ]


def ivf(
    out: Path,
    repetitions: int = 1,
    nodes: int = 1_000_000,
    dims: int = 64,
    k: int = 10,
    sample: int = 2_000,
    seed: int = 0,
) -> list[Row]:
    """`knn_edges` with lists, in a process of its own, against the exact search of some nodes.

    Args:
        out: Working folder, made if missing; what is written there is removed.
        repetitions: Of the lists; some of the exact search is timed three times.
        nodes: N.
        dims: D.
        k: Neighbours.
        sample: Nodes whose recall is measured; not the ones that `knn_edges` samples.
        seed: Of points and sample.
    """
    config = KnnConfig(top_k=k, exact_up_to=nodes // 2)
    checked = np.sort(np.random.default_rng(seed + 1).choice(nodes, sample, replace=False))
    timed = np.arange(min(nodes, 16_384))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        file = Path(folder) / "points.npy"
        np.save(file, points(nodes, dims, max(1, nodes // 100), 0.6, seed))
        scanned, truth = _exact_search(file, timed, checked, k)
        found = [_in_child(file, config, Path(folder), checked) for _ in range(repetitions)]
    summary = found[0]["summary"]
    common = {
        "case": "graph",
        "variant": f"kNN edges, IVF: {summary['probes']} of {summary['lists']} lists searched",
        "peak_mib": max(f["peak_mib"] for f in found),
        "size": f"{nodes:,} x {dims}, k {k}, {torch.get_num_threads()} threads",
    }
    return [
        Row(
            metric="time",
            values=[f["seconds"] for f in found],
            unit="s",
            baseline=f"exact, {timed.size:,} queries of {nodes:,} timed, scaled up",
            baseline_values=[seconds * nodes / timed.size for seconds in scanned],
            higher_is_better=False,
            **common,
        ),
        Row(
            metric=f"recall@{k}, {sample:,} nodes",
            values=[100 * _shared(truth, *f["edges"]) for f in found],
            unit="%",
            baseline="recall asked for",
            baseline_values=[100 * config.recall],
            **common,
        ),
    ]


def nsl(
    python: Path | None, nodes: int = 10_000, threshold: float = 0.7, seed: int = 0
) -> list[Row]:
    """All pairs above a threshold, against neural_structured_learning.tools.build_graph.

    Args:
        python: Interpreter that has neural_structured_learning; None or missing: the rows say so.
        nodes: Points of 64 dimensions, about 20 directed edges each.
        threshold: Cosine.
        seed: Of the points.
    """
    vectors = points(nodes, 64, max(1, nodes // 45), 0.65, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds, ours = _threshold_edges(vectors, threshold, folder)
        theirs, took = None, float("nan")
        peer = "NSL build_graph: MISSING, no such interpreter"
        if python is not None and python.is_file():
            took, theirs, peer = _peer_edges(python, vectors, threshold, folder)
    common = {
        "case": "graph",
        "variant": "kNN edges, all above a threshold",
        "baseline": peer,
        "higher_is_better": False,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "size": f"{nodes:,} x 64, cosine >= {threshold}",
    }
    rows = [
        Row(metric="time", values=[seconds], unit="s", baseline_values=[took], **common),
        Row(
            metric="edges",
            values=[len(ours)],
            unit="directed",
            baseline_values=[float("nan") if theirs is None else len(theirs)],
            **common,
        ),
    ]
    if theirs is not None:
        differ, excused = differing(ours, theirs, vectors, threshold)
        print(f"edges that differ: {differ}; beside {excused} within {EXCUSED:g} of the threshold")
        for metric, value in (
            ("edges that differ", differ),
            ("excused: at the threshold", excused),
        ):
            rows.append(
                Row(metric=metric, values=[value], unit="directed", baseline_values=[0], **common)
            )
    return rows


def differing(
    ours: set[tuple[int, int]],
    theirs: set[tuple[int, int]],
    vectors: np.ndarray,
    threshold: float,
) -> tuple[int, int]:
    """Edges that only one graph has: not to be explained, and within EXCUSED of the threshold."""
    pairs = np.array(sorted(ours ^ theirs), dtype=np.int64).reshape(-1, 2)
    x = vectors.astype(np.float64)
    a, b = x[pairs[:, 0]], x[pairs[:, 1]]
    cosine = np.vecdot(a, b) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    excused = int((np.abs(cosine - threshold) <= EXCUSED).sum())
    return len(pairs) - excused, excused


def _threshold_edges(
    vectors: np.ndarray, threshold: float, folder: Path
) -> tuple[float, set[tuple[int, int]]]:
    ids = pa.array([str(n) for n in range(len(vectors))])
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    pq.write_table(pa.table({"image_id": ids, "embedding": lists}), folder / "images.parquet")
    start = time.perf_counter()
    rows = np.arange(len(vectors))
    names = pa.chunked_array([ids])
    read = read_embeddings(folder, "embedding", rows, names, folder / "vectors.npy")
    files, _ = knn_edges(read, KnnConfig(top_k=None, threshold=threshold), folder)
    seconds = time.perf_counter() - start
    source, target = _columns(files)
    return seconds, set(zip(source.tolist(), target.tolist(), strict=True))


def _peer_edges(
    python: Path, vectors: np.ndarray, threshold: float, folder: Path
) -> tuple[float, set[tuple[int, int]], str]:
    np.save(folder / "points.npy", vectors)
    script = Path(__file__).with_name("nsl_peer.py")
    command = [python, script, folder / "points.npy", str(threshold), folder]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    with (folder / "edges.tsv").open(encoding="utf-8") as file:
        edges = {(int(line.split("\t")[0]), int(line.split("\t")[1])) for line in file}
    return told["seconds"], edges, f"NSL {told['nsl']} build_graph"


def _exact_search(
    file: Path, timed: np.ndarray, checked: np.ndarray, k: int
) -> tuple[list[float], np.ndarray]:
    """Seconds for some nodes' nearest among all, three times; and the nearest of others."""
    space = Space(np.load(file, mmap_mode="r"), "cosine")
    room = np.empty((checked.size, k), np.float32), np.empty((checked.size, k), np.int64)
    truth = Nearest(checked, -np.inf, *room)
    index = space.flat_index()
    truth.search(space, index, len(space), lambda done: None)
    # The index still holds all nodes: a full search fills it once, too.
    queries = space.read(timed)
    seconds = [_seconds(lambda: index.search(queries, k + 1 + SPARE)) for _ in range(3)]
    return seconds, truth.found


def _in_child(file: Path, config: KnnConfig, folder: Path, checked: np.ndarray) -> dict[str, Any]:
    """Time, peak memory and edges of `knn_edges` in a new process, whose memory is its own."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_child, args=(theirs, file, config, folder, checked))
    child.start()
    theirs.close()
    found = ours.recv()
    child.join()
    return found


def _child(
    out: Connection, file: Path, config: KnnConfig, folder: Path, checked: np.ndarray
) -> None:
    vectors = np.load(file, mmap_mode="r")
    start = time.perf_counter()
    files, summary = knn_edges(vectors, config, folder)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    source, target = _columns(files)
    here = np.isin(source, checked)
    edges = np.searchsorted(checked, source[here]), target[here]
    out.send({"seconds": seconds, "peak_mib": peak, "summary": summary, "edges": edges})


def _shared(truth: np.ndarray, row: np.ndarray, node: np.ndarray) -> float:
    """Share of the true neighbours `[S, k]` among edges from a row of them to a node."""
    true = {(i, j) for i, some in enumerate(truth.tolist()) for j in some if j >= 0}
    return len(true & set(zip(row.tolist(), node.tolist(), strict=True))) / len(true)


def _columns(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    table = pa.concat_tables([pq.read_table(file) for file in files])
    return table.column("source").to_numpy(), table.column("target").to_numpy()


def _edges(vectors: np.ndarray, config: KnnConfig) -> None:
    with tempfile.TemporaryDirectory() as folder:
        knn_edges(vectors, config, Path(folder))


def _torch_loop(unit: torch.Tensor, k: int) -> None:
    for queries in unit.split(1024):
        best = torch.empty(len(queries), 0)
        for gallery in unit.split(16384):
            near = (queries @ gallery.T).topk(min(k + 1, len(gallery)), dim=1).values
            best = torch.cat((best, near), dim=1).topk(min(k + 1, best.shape[1] + k + 1)).values


def _faiss_loop(unit: np.ndarray, k: int) -> None:
    import faiss

    faiss.knn(unit, unit, k + 1, metric=faiss.METRIC_INNER_PRODUCT)


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
