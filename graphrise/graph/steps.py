"""One step for each kind of edge: from tables or embeddings to pruned, symmetric pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from graphrise import config as cfg
from graphrise.data.tables import ImageTable, has_table
from graphrise.errors import DataError
from graphrise.graph.engine.base import Engine, Stages
from graphrise.graph.sql.coclick import click_pairs
from graphrise.graph.sql.lists import list_pairs
from graphrise.graph.sql.logs import LogTable
from graphrise.graph.sql.merge import given_pairs, similar_pairs
from graphrise.graph.sql.prune import at_least, keep_kind
from graphrise.graph.store import KINDS

TABLES = {
    "coclick": ("impressions", "clicks"),
    "similar": ("similar_clicks",),
    "knn": (),
    "given": ("edges",),
}
"""What each kind of edge is built from; any of them will do."""


@dataclass
class Build:
    """What the steps of one build share.

    Attributes:
        dataset: Dataset folder.
        config: How.
        engine: Runs the SQL.
        spill: The engine's folder for files in between.
        folder: Graph folder under way.
        stages: Told what is done.
        images: images.parquet.
        rows: int64 `[N]`, rows of it that are nodes.
        tables: Log tables read.
        kinds: Kinds of edges made: number of the table, bit and scale.
        bits: Bit of each kind's name.
        counts: What was used and left out.
        summary: What else graph.json keeps.
        sources: Label sources.
    """

    dataset: Path
    config: cfg.GraphConfig
    engine: Engine
    spill: Path
    folder: Path
    stages: Stages
    images: ImageTable
    rows: np.ndarray
    tables: dict[str, LogTable] = field(default_factory=dict)
    kinds: list[tuple[int, int, float]] = field(default_factory=list)
    bits: dict[str, int] = field(default_factory=lambda: dict(KINDS))
    counts: dict[str, int] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)


def wanted_kinds(dataset: Path, config: cfg.GraphConfig) -> set[str]:
    """Kinds of edges to build: those asked for, else those there is something to build from.

    Raises:
        DataError: A kind was asked for whose tables are missing.
    """
    found = {
        kind: any(has_table(dataset, name) for name in tables) for kind, tables in TABLES.items()
    }
    found["knn"] = config.knn.embeddings is not None
    if not any(found.values()):
        names = ", ".join(name for tables in TABLES.values() for name in tables)
        raise DataError(
            f"{dataset}: nothing to build edges from: none of the tables {names}, and no "
            "graph.knn.embeddings"
        )
    for kind in config.kinds or ():
        if not found[kind]:
            names = " nor ".join(f"{name}.parquet" for name in TABLES[kind])
            raise DataError(f"{dataset}: graph.kinds has {kind}, but there is no {names}")
    return {kind for kind in found if found[kind] and kind in (config.kinds or found)}


def _coclick(build: Build) -> None:
    config = build.config.coclick
    if config.weighting.startswith("coclick_"):
        if "impressions" not in build.tables:
            raise DataError(
                f"{build.dataset}: graph.coclick.weighting {config.weighting} needs result lists, "
                "but there is no impressions.parquet; choose idf_cosine, jaccard or shared_queries"
            )
        pairs = list_pairs
    else:
        pairs = click_pairs
    build.stages.start("co-click pairs")
    build.counts |= pairs(build.engine, config)
    _keep(build, "coclick", KINDS["coclick"], config.scale)


def _similar(build: Build) -> None:
    build.stages.start("similar-image clicks")
    table, config = build.tables["similar_clicks"], build.config.similar
    if config.weighting == "rate" and "impressions" not in table.columns:
        raise DataError(
            f"{build.dataset / 'similar_clicks.parquet'}: column 'impressions' is missing, rates "
            "need it; give --graph.similar.weighting count"
        )
    similar_pairs(build.engine, config)
    _keep(build, "similar", KINDS["similar"], config.scale)


def _knn(build: Build) -> None:
    from graphrise.graph.knn.edges import knn_edges
    from graphrise.graph.knn.embeddings import read_embeddings

    config = build.config.knn
    assert config.embeddings is not None
    build.stages.start("reading embeddings")
    ids = build.images.table.column("image_id").take(pa.array(build.rows))
    vectors = read_embeddings(
        build.dataset, config.embeddings, build.rows, ids, build.spill / "embeddings.npy"
    )
    build.stages.start("nearest neighbours")
    folder = build.spill / "knn"
    folder.mkdir()
    parts, summary = knn_edges(vectors, config, folder, display=build.stages.done)
    build.summary["knn"] = summary
    build.engine.read("knn_rows", parts)
    build.engine.make("best", at_least("knn_rows", config.min_weight))
    _keep(build, "knn", KINDS["knn"], config.scale, mutual=config.symmetric == "mutual")


def _given(build: Build) -> None:
    build.stages.start("given edges")
    config, table = build.config.given, build.tables["edges"]
    for name in _given_names(build.engine, table):
        bit = build.bits.setdefault(name, 16 << sum(b >= 16 for b in build.bits.values()))
        if bit > 128:
            raise DataError(
                f"{build.dataset / 'edges.parquet'}: column 'kind' has more than four kinds of its "
                f"own (beside {', '.join(KINDS)}); merge some"
            )
        given_pairs(build.engine, name, table, config)
        _keep(build, name, bit, config.scale)


def _given_names(engine: Engine, table: LogTable) -> list[str]:
    """Kinds of edges in `edges`; rows without one are `given`."""
    if "kind" not in table.columns:
        return ["given"]
    kind = "coalesce(cast(kind as string), 'given')"  # a column of nulls has no type
    (names,) = engine.row(f"select array_agg(distinct {kind}) from edges")
    return sorted(names or ["given"])  # no rows: DuckDB gives null, not an empty list


def _keep(build: Build, kind: str, bit: int, scale: float, *, mutual: bool = False) -> None:
    build.stages.start(f"{kind} edges")
    number = len(build.kinds)
    count = keep_kind(build.engine, number, "best", mutual=mutual)
    build.engine.drop("best")
    build.counts[f"{kind}_edges"] = count
    if count == 0 and kind in (build.config.kinds or ()):
        raise DataError(
            f"{build.dataset}: graph.kinds has {kind}, but its table or its rules (min_weight, "
            "support, threshold) leave no edge"
        )
    build.kinds.append((number, bit, scale))


STEPS = {"coclick": _coclick, "similar": _similar, "knn": _knn, "given": _given}
"""Makes the edges of a kind."""
