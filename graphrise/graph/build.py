"""Dataset folder to graph: nodes, label sources and edges, with every rule that drops counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from graphrise import config as cfg
from graphrise.data.tables import ImageTable, read_images, table_files
from graphrise.errors import DataError
from graphrise.graph.clicks import edges, load_log, query_labels
from graphrise.graph.ragged import Ragged, from_entries
from graphrise.graph.store import COCLICK, Graph


def build_graph(dataset: Path, config: cfg.GraphConfig) -> Graph:
    """Build labels and edges from `images.parquet` and `impressions.parquet`.

    Args:
        dataset: Dataset folder.
        config: How.

    Returns:
        The graph in memory; `info["counts"]` says what was used and left out, `info["warnings"]`
        what a user should know.

    Raises:
        DataError: Something in the tables is wrong; names file, column, row and value.
    """
    import duckdb

    images = read_images(dataset)
    rows = images.rows_in_splits(config.splits)
    ids = images.table.column("image_id")
    nodes = pa.table({"image_id": ids.take(pa.array(rows)), "node": np.arange(rows.size)})
    con = duckdb.connect(config={"preserve_insertion_order": True})
    try:
        con.execute("set enable_progress_bar = false")
        counts = load_log(
            con,
            table_files(dataset, "impressions"),
            nodes,
            pa.table({"image_id": ids}),
            config,
        )
        source, target, weight = edges(con, config)
        entries, words = query_labels(con, config)
    finally:
        con.close()
    labels = {"queries": from_entries(*entries, rows.size)}
    vocabulary = {"queries": words}
    given = given_labels(images, rows)
    if given is not None:
        labels["given"], vocabulary["given"] = given
    rowptr = np.zeros(rows.size + 1, dtype=np.int64)
    np.cumsum(np.bincount(source, minlength=rows.size), out=rowptr[1:])
    kind = np.full(target.size, COCLICK, dtype=np.uint8)
    graph = Graph(
        nodes.column("image_id").to_pylist(), rowptr, target, weight, kind, labels, vocabulary
    )
    graph.info.update(
        dataset=dataset.name,
        config=cfg.to_dict(config),
        counts=counts,
        warnings=_warnings(graph, counts),
    )
    return graph


def given_labels(images: ImageTable, rows: np.ndarray) -> tuple[Ragged, list[str]] | None:
    """One-hot labels from the `label` column; None if no image of `rows` has one."""
    if "label" not in images.table.column_names:
        return None
    column = images.column("label")
    values = [None if column[r] is None else str(column[r]) for r in rows]
    frequency = Counter(v for v in values if v is not None)
    if not frequency:
        return None
    words = sorted(frequency, key=lambda word: (-frequency[word], word))
    number = {word: i for i, word in enumerate(words)}
    node = np.flatnonzero([v is not None for v in values])
    label = np.array([number[v] for v in values if v is not None], dtype=np.int64)
    return from_entries(node, label, np.ones(node.size), rows.size), words


def _warnings(graph: Graph, counts: dict[str, int]) -> list[str]:
    found = []
    if counts["impressions"] == 0:
        found.append(
            "the log is empty (no impression of an image in the graph): no edges, no query labels"
        )
    elif counts["clicks"] == 0:
        found.append("the log holds no click: no edges, no query labels")
    if graph.num_edges == 0:
        found.append("the graph has no edges: training on it is cross-entropy only")
    reasons = {
        "impressions_of_other_splits": "impressions of images outside the graph's splits left out",
        "impressions_of_unknown_images": "impressions of unknown images left out",
        "clicked_pairs_over_cap": "(query, image) pairs cut by images_per_query",
    }
    found.extend(f"{counts[key]:,} {text}" for key, text in reasons.items() if counts[key])
    return found


def require_labels(graph: Graph, source: str) -> Ragged:
    """Labels of `source`, of which there must be at least one.

    Raises:
        DataError: No image of the graph has a label of this source.
    """
    labels = graph.labels_of(source)
    if labels.index.size == 0:
        raise DataError(f"no image of the graph has a label of source {source!r}: nothing to learn")
    return labels
