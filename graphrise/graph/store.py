"""The graph folder: memory-mappable arrays, the node table, vocabularies, and a small JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from graphrise.data.files import whole_folder
from graphrise.errors import DataError
from graphrise.graph.ragged import Ragged

FORMAT = 1
COCLICK = 1
"""Edge kinds are bits, so an edge found in two ways keeps both."""
KIND_NAMES = {COCLICK: "co-click"}


@dataclass(frozen=True)
class Graph:
    """An undirected image similarity graph with soft labels.

    Attributes:
        image_ids: Image of each of the N nodes.
        rowptr: int64 `[N + 1]`, CSR row pointers; both directions of an edge are stored.
        col: int64 `[E]`, neighbours, rising within a row.
        weight: float32 `[E]`, above 0, equal in both directions.
        kind: uint8 `[E]`, bits of KIND_NAMES.
        labels: Soft labels by source (`given`, `queries`).
        vocabulary: Label names by source, in the order of label ids: falling frequency.
        info: Counts, build parameters and warnings, as in graph.json.
    """

    image_ids: Sequence[str | int]
    rowptr: np.ndarray
    col: np.ndarray
    weight: np.ndarray
    kind: np.ndarray
    labels: dict[str, Ragged]
    vocabulary: dict[str, list[str]]
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def num_nodes(self) -> int:
        """N."""
        return self.rowptr.size - 1

    @property
    def num_edges(self) -> int:
        """Directed edges stored: twice the undirected ones."""
        return int(self.rowptr[-1])

    def labels_of(self, source: str) -> Ragged:
        """Soft labels of one source.

        Raises:
            DataError: The graph was built without them.
        """
        if source not in self.labels:
            raise DataError(
                f"the graph has no labels of source {source!r}, only "
                f"{', '.join(sorted(self.labels)) or 'none'}: is the `label` column of "
                "images.parquet missing or empty?"
            )
        return self.labels[source]


def _arrays(graph: Graph) -> dict[str, np.ndarray]:
    arrays = {
        "rowptr": graph.rowptr.astype(np.int64),
        "col": graph.col.astype(np.int64),
        "weight": graph.weight.astype(np.float32),
        "kind": graph.kind.astype(np.uint8),
    }
    for source, ragged in graph.labels.items():
        arrays[f"labels_{source}_rowptr"] = ragged.rowptr
        arrays[f"labels_{source}_index"] = ragged.index
        arrays[f"labels_{source}_weight"] = ragged.weight
    return arrays


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_graph(graph: Graph, path: Path, *, overwrite: bool = False) -> None:
    """Write the graph folder, whole or not at all.

    Raises:
        DataError: `path` exists and `overwrite` is false, or it is not a graph folder.
    """
    with whole_folder(path, overwrite=overwrite, mark="graph.json") as folder:
        for name, array in _arrays(graph).items():
            np.save(folder / f"{name}.npy", array)
        pq.write_table(pa.table({"image_id": graph.image_ids}), folder / "nodes.parquet")
        for source, names in graph.vocabulary.items():
            table = pa.table({"label": pa.array(names, type=pa.string())})
            pq.write_table(table, folder / f"vocabulary_{source}.parquet")
        files = sorted(p.name for p in folder.iterdir())
        meta = {
            "format": FORMAT,
            "nodes": graph.num_nodes,
            "edges": graph.num_edges,
            "label_sources": sorted(graph.labels),
            **graph.info,
            "sha256": {name: _digest(folder / name) for name in files},
        }
        (folder / "graph.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def _column(file: Path, name: str) -> list:
    try:
        return pq.read_table(file, columns=[name]).column(name).to_pylist()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{file}: damaged ({error}); build the graph again") from error


def open_graph(path: Path, *, verify: bool = False) -> Graph:
    """Open a graph folder; arrays are memory-mapped, no edge is read.

    Args:
        path: The folder that `save_graph` wrote.
        verify: Read every file once and compare checksums.

    Raises:
        DataError: Not a graph folder, a newer format, a missing file, or a failed checksum.
    """
    file = path / "graph.json"
    if not file.is_file():
        raise DataError(f"{path}: not a graph folder (no graph.json); run graphrise build-graph")
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
        version, sums, sources = int(meta["format"]), meta["sha256"], meta["label_sources"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: damaged ({error}); build the graph again") from error
    if version > FORMAT:
        raise DataError(
            f"{file}: format {version} is newer than this graphrise reads ({FORMAT}): upgrade it"
        )
    for name, expected in sums.items():
        if not (path / name).is_file():
            raise DataError(f"{path / name}: missing; build the graph again")
        if verify and _digest(path / name) != expected:
            raise DataError(f"{path / name}: checksum differs; build the graph again")

    def load(name: str) -> np.ndarray:
        # A memory map, but as a plain ndarray: subclasses are refused by torch.
        try:
            array = np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path / name}.npy: damaged ({error}); build the graph again"
            ) from error
        return array.view(np.ndarray)

    labels, vocabulary = {}, {}
    for source in sources:
        parts = (load(f"labels_{source}_{part}") for part in ("rowptr", "index", "weight"))
        labels[source] = Ragged(*parts)
        vocabulary[source] = _column(path / f"vocabulary_{source}.parquet", "label")
    ids = _column(path / "nodes.parquet", "image_id")
    meta = {k: v for k, v in meta.items() if k not in ("format", "sha256")}
    return Graph(
        ids, load("rowptr"), load("col"), load("weight"), load("kind"), labels, vocabulary, meta
    )
