"""How logs, edge lists and embeddings become labels and a graph (`graphrise build-graph`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from graphrise.config.base import check_choices, require

Kind = Literal["coclick", "similar", "knn", "given"]


@dataclass(frozen=True, kw_only=True)
class QueryConfig:
    """Clicked queries as labels. What is left out here still makes edges."""

    normalize: bool = True
    """One spelling per query, for labels and edges: Unicode NFKC, case folded, spaces single."""
    min_clicks: int = 1
    """Queries with fewer clicks, over all images, are no label."""
    min_pair_clicks: int = 1
    """An image with fewer clicks for a query does not get it as a label."""
    per_image: int | None = None
    """Labels kept per image, the heaviest; None keeps all."""
    weighting: Literal["share", "idf"] = "share"
    """Share of the image's clicks, or share times inverse image frequency; then summing to 1."""

    def __post_init__(self) -> None:
        check_choices(self, "graph.queries")
        require(self.min_clicks >= 1, "graph.queries.min_clicks must be at least 1")
        require(self.min_pair_clicks >= 1, "graph.queries.min_pair_clicks must be at least 1")
        require(
            self.per_image is None or self.per_image >= 1,
            "graph.queries.per_image must be at least 1; None keeps all",
        )


@dataclass(frozen=True, kw_only=True)
class _EdgeKind:
    """What every kind of edge has."""

    scale: float = 1.0
    """Factor on this kind's weights; an edge of several kinds weighs the sum."""
    min_weight: float = 0.0
    """Edges of a lower weight (before `scale`) are dropped."""
    top_k: int | None = 8
    """Edges kept per node, the heaviest; one stays if either end keeps it. None keeps all."""

    def _check(self, stage: str) -> None:
        check_choices(self, stage)
        require(0 < self.scale < float("inf"), f"{stage}.scale must be above 0 and finite")
        require(0 <= self.min_weight < float("inf"), f"{stage}.min_weight must be at least 0")
        require(  # more than DuckDB ranks
            self.top_k is None or 1 <= self.top_k < 1_000_000,
            f"{stage}.top_k must lie in [1, 999999]; None keeps all",
        )


@dataclass(frozen=True, kw_only=True)
class CoclickConfig(_EdgeKind):
    """Images clicked for the same query (impressions, clicks)."""

    weighting: Literal[
        "idf_cosine", "jaccard", "shared_queries", "coclick_rate", "coclick_count"
    ] = "idf_cosine"
    """Cosine of idf-weighted click vectors; queries in common over queries of either; their count;
    result lists with both clicked over lists with both shown; their count."""
    support: int = 1
    """Pairs with fewer queries in common (coclick_*: lists with both clicked) are dropped."""
    images_per_query: int = 200
    """Pairs grow with its square: of a query's clicked images only the most clicked this many make
    pairs, and of a result list (coclick_*) this many images are looked at, clicked ones first."""

    def __post_init__(self) -> None:
        self._check("graph.coclick")
        require(self.support >= 1, "graph.coclick.support must be at least 1")
        require(self.images_per_query >= 2, "graph.coclick.images_per_query must be at least 2")


@dataclass(frozen=True, kw_only=True)
class SimilarConfig(_EdgeKind):
    """An image clicked where it was shown as similar to another (similar_clicks)."""

    weighting: Literal["rate", "count"] = "rate"
    """Clicks over impressions of each direction, or clicks."""
    support: int = 1
    """Pairs with fewer clicks, both directions together, are dropped."""
    symmetric: Literal["max", "mean", "sum"] = "max"
    """One weight of the two directions'; a direction that is missing counts 0."""

    def __post_init__(self) -> None:
        self._check("graph.similar")
        require(self.support >= 1, "graph.similar.support must be at least 1")


@dataclass(frozen=True, kw_only=True)
class KnnConfig(_EdgeKind):
    """Images near each other in an embedding that is already there."""

    embeddings: str | None = None
    """A column of images.parquet, or a file: Parquet (image_id, embedding) or .npy (one row per
    row of images.parquet). None: no kNN edges."""
    metric: Literal["cosine", "l2"] = "cosine"
    """Weight: the cosine (edges at or below 0 are dropped), or 1 / (1 + Euclidean distance)."""
    threshold: float | None = None
    """Only pairs with a cosine of at least this, or a distance of at most this; with `top_k` None,
    all of them, each pair compared."""
    symmetric: Literal["union", "mutual"] = "union"
    """An edge needs one of its ends among the other's nearest, or both."""
    exact_up_to: int = 200_000
    """Up to this many nodes every pair is compared; above, an IVF index finds the nearest."""
    recall: float = 0.99
    """IVF: share of the true nearest that must be found, on a sample; sets the lists probed."""
    block: int = 2_000_000
    """Vectors held in memory at a time."""

    def __post_init__(self) -> None:
        self._check("graph.knn")
        require(
            self.top_k is not None or self.threshold is not None,
            "graph.knn.top_k is None: give graph.knn.threshold, or every pair is an edge",
        )
        if self.threshold is not None:
            low, high = (-1.0, 1.0) if self.metric == "cosine" else (0.0, float("inf"))
            require(
                low <= self.threshold <= high,
                f"graph.knn.threshold must lie in [{low:g}, {high:g}] for {self.metric}",
            )
        require(self.exact_up_to >= 1, "graph.knn.exact_up_to must be at least 1")
        require(0 < self.recall <= 1, "graph.knn.recall must lie in (0, 1]")
        require(self.block >= 1, "graph.knn.block must be at least 1")


@dataclass(frozen=True, kw_only=True)
class GivenConfig(_EdgeKind):
    """Edges as they come (edges.parquet)."""

    top_k: int | None = None
    """Edges kept per node, the heaviest; one stays if either end keeps it. None keeps all."""
    symmetric: Literal["max", "mean", "sum"] = "max"
    """One weight of the two directions'; a direction that is missing counts 0."""

    def __post_init__(self) -> None:
        self._check("graph.given")


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Who runs the SQL."""

    name: Literal["duckdb", "spark"] = "duckdb"
    """DuckDB in this process, or Spark (pip install graphrise[spark]); the graph is the same."""
    memory_gb: float | None = None
    """Memory the build may use, in GB; above it, it works through files. None: DuckDB 80 % of the
    machine's, Spark its own default."""
    spill: str | None = None
    """Folder for what does not fit in memory (Spark: seen by every worker). None: beside the
    output."""
    threads: int | None = None
    """Threads of DuckDB or of Spark's local mode; None: all cores."""
    master: str | None = None
    """Spark only: the cluster's address; None: local mode."""

    def __post_init__(self) -> None:
        check_choices(self, "graph.engine")
        require(
            self.memory_gb is None or self.memory_gb >= 0.5,
            "graph.engine.memory_gb must be at least 0.5",
        )
        require(self.threads is None or self.threads >= 1, "graph.engine.threads must be above 0")
        require(
            self.master is None or self.name == "spark",
            "graph.engine.master is for Spark: give --graph.engine.name spark",
        )


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """Logs to labels and edges (`graphrise build-graph`)."""

    splits: tuple[str, ...] = ("train", "gallery")
    """Splits of images.parquet whose images become nodes; images of any other split stay unseen."""
    kinds: tuple[Kind, ...] | None = None
    """Kinds of edges to build, each of which must then give at least one. None: all there is a
    table for, and kNN if `knn.embeddings` is given."""
    on_unknown_image: Literal["error", "drop"] = "error"
    """A logged image_id that images.parquet lacks: stop, or drop the row and count it."""
    queries: QueryConfig = QueryConfig()
    coclick: CoclickConfig = CoclickConfig()
    similar: SimilarConfig = SimilarConfig()
    knn: KnnConfig = KnnConfig()
    given: GivenConfig = GivenConfig()
    engine: EngineConfig = EngineConfig()

    def __post_init__(self) -> None:
        check_choices(self, "graph")
        require(len(self.splits) > 0, "graph.splits is empty: name at least one split")
        known = ("coclick", "similar", "knn", "given")
        require(
            self.kinds is None or (len(self.kinds) > 0 and set(self.kinds) <= set(known)),
            f"graph.kinds must be of {', '.join(known)}; got {self.kinds!r}",
        )
        require(
            self.kinds is None or "knn" not in self.kinds or self.knn.embeddings is not None,
            "graph.kinds has knn: give graph.knn.embeddings, a column or a file",
        )
