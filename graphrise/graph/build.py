"""Dataset folder to graph folder: nodes, labels, edges of every kind, and what was left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from graphrise import config as cfg
from graphrise.data.files import whole_folder
from graphrise.data.tables import has_table, read_images
from graphrise.errors import DataError
from graphrise.graph.engine.base import Display, Stages, open_engine
from graphrise.graph.names import write_names
from graphrise.graph.ragged import Ragged
from graphrise.graph.sql.labels import given_labels, query_labels
from graphrise.graph.sql.logs import read_table
from graphrise.graph.sql.merge import export_edges
from graphrise.graph.sql.queries import count_clicks
from graphrise.graph.steps import STEPS, TABLES, Build, wanted_kinds
from graphrise.graph.store import Graph, finish_folder, id_dtype, open_graph
from graphrise.graph.writer import save_ragged, word_batches, write_edges, write_labels


def build_graph(
    dataset: Path,
    out: Path,
    config: cfg.GraphConfig,
    *,
    overwrite: bool = False,
    display: Display | None = None,
) -> Graph:
    """Build a graph folder from the tables of a dataset.

    Args:
        dataset: Dataset folder: `images.parquet`, and any of `impressions`, `clicks`,
            `similar_clicks`, `edges`.
        out: Graph folder to write, whole or not at all.
        config: How.
        overwrite: Replace an earlier graph.
        display: Called with the stage and the fraction done, now and then.

    Returns:
        The graph, opened; `info["counts"]` says what was used and left out, `info["warnings"]`
        what a user should know.

    Raises:
        DataError: Something in the tables is wrong (names file, column, row and value), a kind
            that was asked for has no edge, or memory or disk ran out.
        ConfigError: Settings that these tables cannot serve.
    """
    stages = Stages(display)
    stages.start("reading images")
    images = read_images(dataset, columns=("image_id", "split", "label"))
    rows = images.rows_in_splits(config.splits)
    with whole_folder(out, overwrite=overwrite, mark="graph.json") as folder:
        with open_engine(config.engine, folder, stages) as (engine, spill):
            build = Build(dataset, config, engine, spill, folder, stages, images, rows)
            _read_tables(build)
            _labels(build)
            for kind in ("coclick", "similar", "knn", "given"):
                if kind in wanted_kinds(dataset, config):
                    STEPS[kind](build)
            stages.start("writing edges")
            parts = export_edges(engine, build.kinds) if build.kinds else []
            write_edges(parts, folder, rows.size)
        stages.start("checksums")
        info = {
            "dataset": dataset.name,
            "config": cfg.to_dict(config),
            "counts": build.counts,
            **build.summary,
        }
        info["warnings"] = _warnings(build)
        finish_folder(folder, build.sources, build.bits, info)
    return open_graph(out)


def _read_tables(build: Build) -> None:
    """Let the engine know the nodes and the log tables, all rows checked."""
    ids = build.images.table.column("image_id")
    node = np.full(len(build.images), -1, dtype=id_dtype(build.rows.size))
    node[build.rows] = np.arange(build.rows.size)
    table = pa.table({"image_id": ids, "node": pa.array(node, mask=node < 0)})
    pq.write_table(table, build.spill / "images.parquet", compression="lz4")
    build.engine.read("images", [build.spill / "images.parquet"])
    chosen = ids.take(pa.array(build.rows))
    write_names(build.folder / "nodes.arrow", chosen.chunks, chosen.type)
    kinds = wanted_kinds(build.dataset, build.config)
    names = [n for n in ("impressions", "clicks") if has_table(build.dataset, n)]
    names += [n for kind in sorted(kinds - {"coclick"}) for n in TABLES[kind]]
    for name in names:
        build.stages.start(f"reading {name}")
        drop = build.config.on_unknown_image == "drop"
        found = read_table(build.engine, build.dataset, name, table, drop_unknown=drop)
        build.tables[name] = found
        build.counts[f"{name}_rows"] = found.rows - found.left_out - found.unknown
        build.counts[f"{name}_of_other_splits"] = found.left_out
        build.counts[f"{name}_of_unknown_images"] = found.unknown
        if name in ("similar_clicks", "edges"):
            build.counts[f"{name}_self_pairs"] = found.self_pairs


def _labels(build: Build) -> None:
    """Label sources `given` and `queries`, and the clicks that co-click edges are made of."""
    if "label" in build.images.table.column_names:
        column = build.images.table.column("label").take(pa.array(build.rows))
        given = given_labels(column)
        if given is not None:
            save_ragged(given[0], build.folder, "given")
            _count_labels(build, "given", given[0], [given[1]])
    logs = {"impressions", "clicks"} & set(build.tables)
    if not logs:
        return
    build.stages.start("counting clicks")
    build.counts["clicks_without_query"] = count_clicks(
        build.engine,
        logs,
        normalize=build.config.queries.normalize,
        all_shown="impressions" in logs and build.config.coclick.weighting == "coclick_rate",
    )
    (clicks,) = build.engine.row("select coalesce(sum(clicks), 0) from clicked")
    build.counts["clicks"] = int(clicks)
    build.stages.start("labels")
    entries, words = query_labels(build.engine, build.config.queries)
    write_labels(entries, build.folder, "queries", build.rows.size)
    rowptr = np.load(build.folder / "labels_queries_rowptr.npy", mmap_mode="r")
    ragged = Ragged(rowptr, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
    _count_labels(build, "queries", ragged, word_batches(words))


def _count_labels(build: Build, source: str, ragged: Ragged, words: Any) -> None:
    write_names(build.folder / f"vocabulary_{source}.arrow", words, pa.string())
    labelled = int(np.count_nonzero(ragged.counts))
    build.sources.append(source)
    build.summary.setdefault("labels", {})[source] = {
        "labelled_images": labelled,
        "coverage": labelled / build.rows.size,
        "entries": int(ragged.rowptr[-1]),
    }


def _warnings(build: Build) -> list[str]:
    counts, found = build.counts, []
    logs = {"impressions", "clicks"} & set(build.tables)
    if logs and not any(counts[f"{name}_rows"] for name in logs):
        found.append(
            "the log is empty (no impression of an image in the graph): no co-click edges, no "
            "query labels"
        )
    elif logs and counts["clicks"] == 0:
        found.append("the log holds no click: no co-click edges, no query labels")
    if not sum(counts[key] for key in counts if key.endswith("_edges")):
        found.append("the graph has no edges: training on it is cross-entropy only")
    for name in build.tables:
        for key, text in (("other_splits", "outside the graph's splits"), ("unknown_images", "")):
            if counts[f"{name}_of_{key}"]:
                what = f"rows of {name} with " + (
                    "unknown images" if not text else f"images {text}"
                )
                found.append(f"{counts[f'{name}_of_{key}']:,} {what} left out")
    reasons = {
        "clicked_pairs_over_cap": "(query, image) pairs cut by coclick.images_per_query",
        "clicks_without_query": "clicks for a query of white space only left out",
        "similar_clicks_self_pairs": "rows of similar_clicks with an image and itself left out",
        "edges_self_pairs": "rows of edges with an image and itself left out",
    }
    found.extend(f"{counts[key]:,} {text}" for key, text in reasons.items() if counts.get(key))
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
