"""Write ogbn-products or ogbn-arxiv (Open Graph Benchmark): nodes with features, no pictures.

    python datasets/ogbn.py SOURCE OUT                          # SOURCE/raw, SOURCE/split
    python datasets/ogbn.py SOURCE OUT --download ogbn-arxiv    # fetched into SOURCE first

ogbn-products: 2,449,029 nodes, 61,859,140 edges, 47 classes, 100 features, Amazon license.
ogbn-arxiv: 169,343 nodes, 1,166,243 directed edges, 40 classes, 128 features, ODC-BY (Hu et al.,
arXiv 2005.00687). Expected is OGB's folder of one (`ogbn_products`: raw and split), read without
ogb; --download needs `pip install graphrise[ogb]`. Checked: sizes against OGB's own num-*-list
files, features against the nodes.

Written: `images.parquet` (`image_id` 0 to N - 1, `split` train, val or test, `label`),
`features.npy` (float32 `[N, D]`, the node's row stands for its picture) and `graph` (undirected).
All nodes are in the graph, as the split is transductive, but its labels `given` are those of
training nodes alone: the classes of val and test, in images.parquet, are for scoring. Do not build
the graph anew with `graphrise build-graph`.

    graphrise train OUT RUN --encoder.name mlp --labels.spread true
    graphrise evaluate RUN --gallery split=train --queries split=val split=test
    python datasets/ogbn_score.py RUN --evaluator ogbn-arxiv    # OGB's protocol: accuracy on test
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap

from graphrise.cli.script import run_script
from graphrise.data.files import whole_folder
from graphrise.data.listing import require_source
from graphrise.errors import DataError

if TYPE_CHECKING:
    from graphrise.graph.store import Graph

csv: Any = pyarrow.csv  # compiled: type checkers see nothing of it
SPLITS = {"train": "train", "valid": "val", "test": "test"}


def write_features(file: Path, out: Path, nodes: int) -> int:
    """Write the features of all nodes, a block at a time.

    Returns:
        Their number.

    Raises:
        DataError: The file is damaged, or has not one row for each node.
    """
    try:
        with csv.open_csv(
            file, read_options=csv.ReadOptions(autogenerate_column_names=True)
        ) as blocks:
            width = len(blocks.schema)
            features = open_memmap(out, mode="w+", dtype=np.float32, shape=(nodes, width))
            start = 0
            for block in blocks:
                stop = start + block.num_rows
                if stop > nodes:
                    raise DataError(f"{file}: has more rows than there are nodes ({nodes:,})")
                for number, column in enumerate(block.columns):
                    features[start:stop, number] = column.to_numpy(zero_copy_only=False)
                start = stop
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{file}: damaged ({error}); download it again") from error
    if start != nodes:
        raise DataError(f"{file}: has {start:,} rows for {nodes:,} nodes; download it again")
    features.flush()
    return width


def node_table(graph: Graph) -> pa.Table:
    """Number, split and class of every node."""
    split = np.full(graph.num_nodes, None, dtype=object)
    for name, ours in SPLITS.items():
        split[graph.info["split"][name]] = ours
    names = np.array([*graph.vocabulary["given"], None], dtype=object)
    label = names[graph.labels_of("given").top()]  # -1: the None at the end
    ids = np.arange(graph.num_nodes)
    return pa.table(
        {"image_id": ids, "split": pa.array(split, pa.string()), "label": pa.array(label)}
    )


def training_labels(graph: Graph) -> Graph:
    """The graph without labels of nodes outside the training split."""
    from graphrise.graph.convert.pyg import class_labels

    train = np.asarray(graph.info["split"]["train"], dtype=np.int64)
    number = np.array([int(name) for name in graph.vocabulary["given"]] + [-1])
    kept = np.full(graph.num_nodes, -1)
    kept[train] = number[graph.labels_of("given").top()[train]]  # -1: unlabelled
    labels, names = class_labels(kept, graph.num_nodes)
    return dataclasses.replace(graph, labels={"given": labels}, vocabulary={"given": names})


def main(source: Path, out: Path, download: str | None = None, overwrite: bool = False) -> None:
    """Write the folder of an OGB node classification set.

    Args:
        source: OGB's folder of the set; with `download` the one it is put into.
        out: Folder to write.
        download: Set to fetch, such as ogbn-arxiv.
        overwrite: Replace an earlier folder.
    """
    from graphrise.graph.convert.ogb import from_ogb
    from graphrise.graph.store import save_graph

    if download is not None:
        graph = from_ogb(download, source)
        source = source / download.replace("-", "_")
    else:
        require_source(source, "raw", "split")
        graph = from_ogb(source)
    require_source(source, "raw/node-feat.csv.gz")
    if "split" not in graph.info:
        raise DataError(f"{source / 'split'}: holds no folder with train.csv.gz")
    with whole_folder(out, overwrite=overwrite, mark="images.parquet") as folder:
        features = source / "raw" / "node-feat.csv.gz"
        width = write_features(features, folder / "features.npy", graph.num_nodes)
        pq.write_table(node_table(graph), folder / "images.parquet")
        save_graph(training_labels(graph), folder / "graph")
    print(f"{out}: {graph.num_nodes:,} nodes, {graph.num_edges // 2:,} edges, {width} features")


if __name__ == "__main__":
    run_script(main)
