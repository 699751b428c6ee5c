"""The graph folder: memory-mapped arrays, node and label names, and a small JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from graphrise.data.files import whole_folder
from graphrise.errors import DataError
from graphrise.graph.draws import fill_draws
from graphrise.graph.names import Names, open_names, write_names
from graphrise.graph.ragged import Ragged

FORMAT = 2
COCLICK, SIMILAR, KNN, GIVEN = 1, 2, 4, 8
KINDS = {"coclick": COCLICK, "similar": SIMILAR, "knn": KNN, "given": GIVEN}
"""Edge kinds are bits, so an edge found in two ways keeps both; 16 to 128 are for kinds that an
`edges` table names itself."""
ID_LIMIT = 2**31
"""Below this many nodes `col` is int32, from it on int64."""


@dataclass(frozen=True)
class Graph:
    """An undirected image similarity graph with soft labels.

    Attributes:
        image_ids: Image of each of the N nodes.
        rowptr: int64 `[N + 1]`, CSR row pointers; both directions of an edge are stored.
        col: int32 `[E]` (int64 from 2^31 nodes on), neighbours, rising within a row.
        weight: float32 `[E]`, above 0, equal in both directions.
        kind: uint8 `[E]`, bits of `kinds`.
        labels: Soft labels by source (`given`, `queries`).
        vocabulary: Label names by source, in the order of label ids: falling frequency.
        info: Counts, build parameters and warnings, as in graph.json.
        kinds: Bit of each kind of edge, by name.
        strength: float64 `[N]`, total weight of a node's edges. Made from `weight` if not given.
        cumulative: uint32 `[E]`, running shares for weighted draws (`draws.fill_draws`). As above.
    """

    image_ids: Sequence[str | int]
    rowptr: np.ndarray
    col: np.ndarray
    weight: np.ndarray
    kind: np.ndarray
    labels: dict[str, Ragged]
    vocabulary: dict[str, Sequence[str]]
    info: dict[str, Any] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=lambda: dict(KINDS))
    strength: np.ndarray = field(default=None)  # pyright: ignore[reportAssignmentType]
    cumulative: np.ndarray = field(default=None)  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        if self.strength is None or self.cumulative is None:
            strength = np.empty(self.num_nodes)
            cumulative = np.empty(self.num_edges, dtype=np.uint32)
            fill_draws(self.rowptr, self.weight, strength, cumulative)
            object.__setattr__(self, "strength", strength)
            object.__setattr__(self, "cumulative", cumulative)

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


def id_dtype(num_nodes: int) -> type[np.signedinteger]:
    """Narrowest of int32 and int64 that holds every node id."""
    return np.int32 if num_nodes < ID_LIMIT else np.int64


def save_graph(graph: Graph, path: Path, *, overwrite: bool = False) -> None:
    """Write an in-memory graph as a graph folder, whole or not at all.

    Raises:
        DataError: `path` exists and `overwrite` is false, or it is not a graph folder.
    """
    arrays = {
        "rowptr": graph.rowptr.astype(np.int64, copy=False),
        "col": graph.col.astype(id_dtype(graph.num_nodes), copy=False),
        "weight": graph.weight.astype(np.float32, copy=False),
        "kind": graph.kind.astype(np.uint8, copy=False),
        "strength": graph.strength,
        "cumulative": graph.cumulative,
    }
    for source, ragged in graph.labels.items():
        arrays[f"labels_{source}_rowptr"] = ragged.rowptr
        arrays[f"labels_{source}_index"] = ragged.index
        arrays[f"labels_{source}_weight"] = ragged.weight
    with whole_folder(path, overwrite=overwrite, mark="graph.json") as folder:
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        ids = as_column(graph.image_ids)
        write_names(folder / "nodes.arrow", ids.chunks, ids.type)
        for source, words in graph.vocabulary.items():
            column = as_column(words, pa.string())
            write_names(folder / f"vocabulary_{source}.arrow", column.chunks, column.type)
        finish_folder(folder, sorted(graph.labels), graph.kinds, graph.info)


def as_column(values: Sequence[Any], kind: pa.DataType | None = None) -> pa.ChunkedArray:
    """Names or a plain sequence as an Arrow column."""
    if isinstance(values, Names):
        return values.column
    return pa.chunked_array([pa.array(values, type=kind)])


def finish_folder(
    folder: Path, sources: Sequence[str], kinds: dict[str, int], info: dict[str, Any]
) -> None:
    """Write graph.json, last: format, counts, build parameters, and size and sha256 of every file.

    Args:
        folder: Folder that holds every array and name file.
        sources: Label sources.
        kinds: Bit of each kind of edge.
        info: What else is to be kept.
    """
    rowptr = np.load(folder / "rowptr.npy", mmap_mode="r")
    files = sorted(p for p in folder.iterdir() if p.is_file())
    meta = {
        "format": FORMAT,
        "nodes": rowptr.size - 1,
        "edges": int(rowptr[-1]),
        "label_sources": list(sources),
        "kinds": kinds,
        **{k: v for k, v in info.items() if k not in _OWN},
        "files": {p.name: {"bytes": p.stat().st_size, "sha256": _digest(p)} for p in files},
    }
    (folder / "graph.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


_OWN = ("format", "nodes", "edges", "label_sources", "kinds", "files")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_graph(path: Path, *, verify: bool = False) -> Graph:
    """Open a graph folder; arrays are memory-mapped, no edge is read.

    Args:
        path: The folder that `save_graph` or `build_graph` wrote.
        verify: Read every file once and compare checksums.

    Raises:
        DataError: Not a graph folder, another format, a file that is missing or of another size,
            or a failed checksum.
    """
    meta = _read_meta(path)
    for name, expected in meta["files"].items():
        _check_file(path / name, expected, verify=verify)

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
    for source in meta["label_sources"]:
        parts = (load(f"labels_{source}_{part}") for part in ("rowptr", "index", "weight"))
        labels[source] = Ragged(*parts)
        vocabulary[source] = open_names(path / f"vocabulary_{source}.arrow")
    arrays = {
        name: load(name) for name in ("rowptr", "col", "weight", "kind", "strength", "cumulative")
    }
    return Graph(
        open_names(path / "nodes.arrow"),
        labels=labels,
        vocabulary=vocabulary,
        info={k: v for k, v in meta.items() if k not in ("format", "files")},
        kinds={name: int(bit) for name, bit in meta["kinds"].items()},
        **arrays,
    )


def _read_meta(path: Path) -> dict[str, Any]:
    file = path / "graph.json"
    if not file.is_file():
        raise DataError(f"{path}: not a graph folder (no graph.json); run graphrise build-graph")
    again = "build the graph again"
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
        version = int(meta["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: damaged ({error}); {again}") from error
    if version > FORMAT:
        raise DataError(
            f"{file}: format {version} is newer than this graphrise reads ({FORMAT}): upgrade it"
        )
    if version < FORMAT:
        raise DataError(f"{file}: format {version} of an earlier graphrise; {again}")
    for name, kind in (("files", dict), ("kinds", dict), ("label_sources", list)):
        if not isinstance(meta.get(name), kind):
            raise DataError(f"{file}: damaged ({name!r} is missing); {again}")
    return meta


def _check_file(file: Path, expected: dict[str, Any], *, verify: bool) -> None:
    again = "build the graph again"
    if not file.is_file():
        raise DataError(f"{file}: missing; {again}")
    size = file.stat().st_size
    if size != expected["bytes"]:
        raise DataError(f"{file}: damaged ({size} bytes, not {expected['bytes']}); {again}")
    if verify and _digest(file) != expected["sha256"]:
        raise DataError(f"{file}: damaged (its checksum differs); {again}")
