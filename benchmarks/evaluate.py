"""Case `evaluate`: what judging an encoder costs beside the bare search, and how little it holds.

Part `search`: a gallery in memory, searched bare by FAISS (rows normalised before), by `ops.knn`,
by `evaluate.search_blocks` (from a mapped file), and judged by `evaluate.score` (every metric of
the report: labels of ten images, groups of a hundred labels). Part `stream`: a gallery ten times as
large, from a mapped file, in a process of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.child import Missing, answer, forget_peak, own_peak_mib
from benchmarks.rows import Row
from benchmarks.timing import in_turn
from graphrise.config import EvaluateConfig
from graphrise.evaluate import search_blocks
from graphrise.evaluate.score import Embedded, score
from graphrise.ops.knn import knn

PARTS = ("search", "stream")
BARE = "faiss.knn, rows normalised before"
LIMIT_MIB = 4 * 1024
"""What a streamed gallery may hold at most."""
OF_A_LABEL, LABELS_OF_A_GROUP = 10, 100


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is searched.

    Attributes:
        gallery: Rows, D numbers each.
        streamed: Rows of the gallery that is streamed.
        queries: Rows.
        dim: D.
        k: Neighbours.
    """

    gallery: int = 1_000_000
    streamed: int = 10_000_000
    queries: int = 10_000
    dim: int = 64
    k: int = 10


def run(out: Path, size: Size, only: Sequence[str], repetitions: int) -> list[Row]:
    """Time and weigh.

    Args:
        out: Working folder, made if missing; what is written there is removed.
        size: How much is searched.
        only: Parts to run.
        repetitions: Of every way of part `search`.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=out) as folder:
        file = Path(folder) / "gallery.npy"
        if "search" in only:
            rows += _search(file, size, repetitions)
        if "stream" in only:
            rows += _stream(file, size)
    return rows


def write_vectors(file: Path, rows: int, dim: int, seed: int = 0) -> np.ndarray:
    """Normal vectors in a file, written block by block; mapped."""
    vectors = np.lib.format.open_memmap(file, "w+", np.float32, (rows, dim))
    random = np.random.default_rng(seed)
    for start in range(0, rows, 1 << 18):
        part = vectors[start : start + (1 << 18)]
        part[:] = random.standard_normal(part.shape, dtype=np.float32)
    vectors.flush()
    return np.load(file, mmap_mode="r")


def made_queries(size: Size) -> np.ndarray:
    """Normal vectors, not the gallery's."""
    random = np.random.default_rng(1)
    return random.standard_normal((size.queries, size.dim), dtype=np.float32)


def _search(file: Path, size: Size, repetitions: int) -> list[Row]:
    mapped = write_vectors(file, size.gallery, size.dim)
    gallery, queries = np.array(mapped), made_queries(size)
    judged, asked = _labelled(gallery), _labelled(queries)
    # It searches for eleven neighbours: past the ten images of a label, for its group.
    config = EvaluateConfig(k=size.k, group="group")
    ways: dict[str, Callable[[], object]] = {
        BARE: _bare(gallery, queries, size.k),
        "ops.knn": lambda: knn(queries, gallery, size.k),
        "evaluate.search_blocks, mapped": lambda: search_blocks(queries, mapped, size.k),
        "evaluate.score, all metrics": lambda: score(judged, asked, config),
    }
    forget_peak()
    times = in_turn(ways, torch.device("cpu"), repetitions)
    rates = {name: [size.queries / (ms / 1e3) for ms in of] for name, of in times.items()}
    return [
        Row(
            case="evaluate",
            variant=name,
            metric="queries searched",
            values=values,
            unit="queries/s",
            baseline=BARE,
            baseline_values=rates[BARE],
            peak_mib=own_peak_mib(),
            size=f"{size.queries:,} queries, {size.gallery:,} x {size.dim}, k {size.k}, "
            f"{torch.get_num_threads()} threads",
        )
        for name, values in rates.items()
    ]


def _bare(gallery: np.ndarray, queries: np.ndarray, k: int) -> Callable[[], Any]:
    import faiss

    unit, asked = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (gallery, queries))
    return lambda: faiss.knn(asked, unit, k, metric=faiss.METRIC_INNER_PRODUCT)


def _labelled(vectors: np.ndarray) -> Embedded:
    label = np.arange(len(vectors)) // OF_A_LABEL
    return Embedded(vectors, label, label // LABELS_OF_A_GROUP)


def _stream(file: Path, size: Size) -> list[Row]:
    write_vectors(file, size.streamed, size.dim)
    settings = {"file": str(file), "queries": size.queries, "dim": size.dim, "k": size.k}
    found = answer("benchmarks.evaluate_worker", settings, need_gib=LIMIT_MIB / 1024)
    if isinstance(found, Missing):
        told, note = {"peak_mib": float("nan"), "seconds": float("nan")}, f": {found.why}"
    else:
        told, note = found, ""
    return [
        Row(
            case="evaluate",
            variant=f"evaluate.search_blocks, mapped, a process of its own{note}",
            metric=metric,
            values=[told[name]],
            unit=unit,
            baseline=baseline,
            baseline_values=[against],
            higher_is_better=False,
            peak_mib=told["peak_mib"],
            size=f"{size.queries:,} queries, {size.streamed:,} x {size.dim}, k {size.k}",
        )
        for metric, name, unit, baseline, against in (
            ("peak memory, mapped pages included", "peak_mib", "MiB", "limit", LIMIT_MIB),
            ("time", "seconds", "s", "none", float("nan")),
        )
    ]
