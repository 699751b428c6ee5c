"""Node classification graphs of the Open Graph Benchmark (OGB), and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from graphrise.errors import DataError
from graphrise.graph.convert.from_edges import graph_from_edges
from graphrise.graph.convert.pyg import class_labels
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import Graph

csv: Any = pyarrow.csv  # compiled: type checkers see nothing of it

_PARTS = ("train", "valid", "test")


def from_ogb(dataset: str | Path | Any, root: str | Path = "dataset") -> Graph:
    """A graph of an OGB node classification dataset, such as `ogbn-products`.

    Nodes are called 0 to N - 1, classes become one-hot labels of source `given` (named by their
    number, sorted by falling frequency), edges weigh 1 unless there is one edge feature. OGB's
    split is kept as `info["split"]`: node numbers by `train`, `valid` and `test`. Labels of all
    three are in the graph: `given` is not for training alone. Node features are not kept.

    A dataset folder is read from its raw files, without the network and without running anything
    that is stored in it.

    Args:
        dataset: Name (`ogbn-...`), a dataset folder (it holds `raw`), or an `ogb`
            `NodePropPredDataset`. Of a `PygNodePropPredDataset` use `convert.from_data(d[0])`.
        root: Where OGB keeps datasets; for a name. If it is not there yet, `ogb` downloads it
            (asking first above 1 GB).

    Returns:
        The graph; directed ones (`ogbn-arxiv`) are made undirected.

    Raises:
        DataError: Not such a dataset, it is heterogeneous, binary (`ogbn-papers100M`) or has
            several labels per node (`ogbn-proteins`), its files are damaged, or it must be
            downloaded and `ogb` is not installed.
    """
    if isinstance(dataset, str) and dataset.startswith("ogbn-"):
        folder = Path(root) / dataset.replace("-", "_")
        if not folder.is_dir():
            _download(dataset, root)
        return _from_folder(folder)
    if isinstance(dataset, (str, Path)):
        return _from_folder(Path(dataset))
    try:
        graph, labels = dataset[0]
        ends, feature, nodes = graph["edge_index"], graph["edge_feat"], int(graph["num_nodes"])
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(
            f"{type(dataset).__name__} is no homogeneous NodePropPredDataset of ogb; of a PyG "
            "dataset use from_data(dataset[0])"
        ) from error
    named = class_labels(np.asarray(labels), nodes)
    return _made(ends, feature, nodes, named, dataset.get_idx_split())


def to_ogb_dict(graph: Graph, source: str = "given") -> tuple[dict[str, Any], np.ndarray]:
    """What `NodePropPredDataset[0]` is: a dict of arrays, and labels.

    Of soft labels only the heaviest is kept; kinds and names are not.

    Args:
        graph: The graph.
        source: Label source.

    Returns:
        A dict of `edge_index` int64 `[2, E]` (both directions), `edge_feat` float32 `[E, 1]` (the
        weights), `node_feat` None and `num_nodes`; and labels `[N, 1]`: int64, or float64 with
        NaN = unlabelled if there are such nodes.

    Raises:
        DataError: The graph has no labels of `source`.
    """
    labels = graph.labels_of(source).top()
    row = np.repeat(np.arange(graph.num_nodes), np.diff(graph.rowptr))
    arrays = {
        "edge_index": np.stack((row, graph.col)),
        "edge_feat": np.array(graph.weight, dtype=np.float32)[:, None],
        "node_feat": None,
        "num_nodes": graph.num_nodes,
    }
    if (labels < 0).any():
        labels = np.where(labels < 0, np.nan, labels)
    return arrays, labels[:, None]


def _made(
    ends: np.ndarray,
    feature: np.ndarray | None,
    nodes: int,
    labels: tuple[Ragged, list[str]],
    split: Any,
) -> Graph:
    ragged, words = labels
    if feature is not None and feature.shape[1:] != (1,):
        feature = None  # several features are no weight
    graph = graph_from_edges(
        ends[0],
        ends[1],
        None if feature is None else feature[:, 0],
        num_nodes=nodes,
        labels={"given": ragged},
        vocabulary={"given": words},
    )
    if split is not None:
        graph.info["split"] = {part: np.asarray(split[part]).tolist() for part in _PARTS}
    return graph


def _download(name: str, root: str | Path) -> None:
    try:
        from ogb.nodeproppred import (  # pyright: ignore[reportMissingImports]
            NodePropPredDataset,
        )
    except ImportError as error:
        raise DataError(
            f"{root}: holds no {name}, and to download it ogb is needed: "
            "pip install graphrise[ogb]; a dataset that is there is read without it"
        ) from error
    NodePropPredDataset(name, root=str(root))


def _from_folder(folder: Path) -> Graph:
    """Read the raw files.

    Not by ogb's own reader: it keeps `processed/data_processed` and opens that by unpickling,
    which runs whatever a file holds; with PyTorch's safe loading it fails on every second opening.
    It also asks on the terminal before it replaces a folder of another release.
    """
    raw = folder / "raw"
    if (raw / "triplet-type-list.csv.gz").is_file():
        raise DataError(f"{folder}: is heterogeneous; give one kind of edge to graph_from_edges")
    if (raw / "data.npz").is_file():
        raise DataError(f"{folder}: OGB's binary format; give its arrays to graph_from_edges")
    classes = _read(raw / "node-label.csv.gz")
    labels = class_labels(classes, len(classes))
    ends = _read(raw / "edge.csv.gz", columns=2)
    for name, count in (("node", len(classes)), ("edge", len(ends))):
        sizes = _read(raw / f"num-{name}-list.csv.gz", columns=1)
        if sizes.tolist() != [[count]]:
            raise DataError(
                f"{raw}: num-{name}-list.csv.gz says {sizes.ravel().tolist()}, there are {count} "
                f"{name}s: not one graph with labelled nodes, or damaged; download it again"
            )
    feature = raw / "edge-feat.csv.gz"
    features = _read(feature) if feature.is_file() else None
    return _made(ends.T, features, len(classes), labels, _read_split(folder / "split"))


def _read_split(folder: Path) -> dict[str, np.ndarray] | None:
    # Each ogbn dataset has one, such as sales_ranking; split_dict.pt is a pickle, so not read.
    schemes = sorted(p for p in folder.glob("*") if (p / "train.csv.gz").is_file())
    if len(schemes) > 1:
        raise DataError(f"{folder}: holds several splits ({', '.join(p.name for p in schemes)})")
    if not schemes:
        return None
    return {part: _read(schemes[0] / f"{part}.csv.gz", columns=1)[:, 0] for part in _PARTS}


def _read(file: Path, *, columns: int | None = None) -> np.ndarray:
    """A csv.gz without a header, `[rows, columns]`; with `columns` it must be whole numbers."""
    try:
        table = csv.read_csv(file, read_options=csv.ReadOptions(autogenerate_column_names=True))
    except FileNotFoundError as error:
        raise DataError(f"{file}: missing; is {file.parent.parent} an OGB folder?") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: damaged ({error}); download it again") from error
    values = [column.to_numpy() for column in table.columns]
    allowed, what = "if", "numbers"
    if columns is not None:
        allowed, what = "i", f"{columns} column(s) of whole numbers"
    fits = columns in (None, len(values))
    if not fits or any(column.dtype.kind not in allowed for column in values):
        raise DataError(f"{file}: damaged (it must be {what}); download it again")
    return np.stack(values, axis=1)
