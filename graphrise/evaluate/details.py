"""What a report says of one query set beyond its scores: more metrics, intervals, hubs, groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphrise.config import EvaluateConfig
from graphrise.evaluate.checks import UNKNOWN
from graphrise.evaluate.clustering import cluster_agreement
from graphrise.evaluate.embedded import Embedded
from graphrise.evaluate.groups import GroupValue, by_group, macro_mean
from graphrise.evaluate.hubness import HubStatistics, hub_statistics
from graphrise.evaluate.intervals import Interval, bootstrap_interval
from graphrise.evaluate.levels import NotNested
from graphrise.evaluate.modified_precision import modified_precision
from graphrise.evaluate.ndcg import ndcg_at_k
from graphrise.evaluate.per_query import PerQuery
from graphrise.evaluate.ranking import RECALL_AT, map_at_r, r_precision, recall_per_query
from graphrise.evaluate.relevant import needed_k, relevant_count

CONFIDENCE_LEVEL = 0.95
"""Of all intervals."""
HUBS_AT = 10
"""Neighbours of each query that hubs are counted over, where the gallery has as many."""
GRADED = "graded ndcg@10"


@dataclass(frozen=True)
class Detail:
    """What was found beside the scores of one query set.

    Attributes:
        metrics: `mmp@5`, `ndcg@10`, where asked for `graded ndcg@10`, `mean recall@1 over groups`,
            `nmi` and `ami`: shares in 0..1 (`ami` may fall below 0).
        counts: Noun to number, as in a score.
        intervals: Metric, of the score or of `metrics`, to its bootstrap interval; empty where the
            scored queries show fewer than two instances.
        instances: How many are resampled whole; a query of unknown label is one of its own.
        hubs: How unevenly the gallery is found.
        groups: Name and recall@1 of each group that has a scored query, the worst first, of equal
            ones the larger first; empty without `EvaluateConfig.group`.
    """

    metrics: dict[str, float]
    counts: dict[str, int]
    intervals: dict[str, Interval]
    instances: int
    hubs: HubStatistics
    groups: tuple[tuple[str, GroupValue], ...]


def detail(
    index: np.ndarray,
    gallery: Embedded,
    queries: Embedded,
    config: EvaluateConfig,
    group_names: Sequence[str],
    leave_one_out: bool = False,
) -> Detail:
    """Look once more at the neighbours that `score` found.

    Args:
        index: Gallery rows [Q, K] of every query, nearest first, from `score` with this `config`.
        gallery: Images searched.
        queries: Images searched for.
        config: Group, levels, limit of R, whether to cluster.
        group_names: Name of each group.
        leave_one_out: The queries lie in the gallery and are not in their own rows of the index.

    Raises:
        DataError: No query can be scored.
        GraphriseError: Clustering is asked for and scikit-learn is not installed.
    """
    values = _values(index, gallery, queries, config, leave_one_out)
    added, counts = _ndcg(index, gallery, queries, config, leave_one_out)
    added["mmp@5"] = modified_precision(
        index, gallery.labels, queries.labels, leave_one_out=leave_one_out
    )
    metrics = {name: value.mean for name, value in added.items()}
    groups: tuple[tuple[str, GroupValue], ...] = ()
    if config.group is not None:
        groups = _groups(values["recall@1"], queries.groups, group_names)
        if any(name != _NO_GROUP for name, _ in groups):
            macro = macro_mean(values["recall@1"], queries.groups)
            metrics["mean recall@1 over groups"] = macro
    if config.clustering:
        agreement = cluster_agreement(_unit(queries.embeddings), queries.labels)
        metrics |= {"nmi": agreement.nmi, "ami": agreement.ami}
        counts["clusters"] = agreement.clusters
    intervals, instances = _intervals(values | added, queries.labels)
    hubs = hub_statistics(index, len(gallery.labels), min(HUBS_AT, index.shape[1]))
    return Detail(metrics, counts, intervals, instances, hubs, groups)


def _values(
    index: np.ndarray,
    gallery: Embedded,
    queries: Embedded,
    config: EvaluateConfig,
    leave_one_out: bool,
) -> dict[str, PerQuery]:
    """Metrics of the score for every query, as far as they are means over queries."""
    labels = index, gallery.labels, queries.labels
    values = {f"recall@{k}": recall_per_query(*labels, k, leave_one_out) for k in RECALL_AT}
    if needed_k(queries.labels, gallery.labels, leave_one_out) > config.r_up_to:
        return values
    values["r-precision"] = r_precision(*labels, leave_one_out)
    values["map@r"] = map_at_r(*labels, leave_one_out)
    if config.group and relevant_count(queries.groups, gallery.groups, leave_one_out).any():
        values["group recall@1"] = recall_per_query(
            index, gallery.groups, queries.groups, 1, leave_one_out
        )
    return values


def _ndcg(
    index: np.ndarray,
    gallery: Embedded,
    queries: Embedded,
    config: EvaluateConfig,
    leave_one_out: bool,
) -> tuple[dict[str, PerQuery], dict[str, int]]:
    """NDCG@10 by label, and by the hierarchy if there is one."""
    found = {
        "ndcg@10": ndcg_at_k(index, gallery.labels, queries.labels, 10, leave_one_out),
    }
    above = [(x.levels if config.levels else (x.groups,)) for x in (gallery, queries)]
    if config.levels or config.group:
        levels = (gallery.labels, *above[0]), (queries.labels, *above[1])
        try:
            found[GRADED] = ndcg_at_k(index, *levels, 10, leave_one_out)
        except NotNested:
            # A group may cut across labels; only a hierarchy has grades.
            missing = f"queries without {GRADED}, as labels lie in several coarser ones"
            return found, {missing: len(queries.labels)}
    return found, {}


_NO_GROUP = "(unknown)"


def _groups(
    recall: PerQuery, groups: np.ndarray, names: Sequence[str]
) -> tuple[tuple[str, GroupValue], ...]:
    found = [
        (value.value, -value.scored, _NO_GROUP if group == UNKNOWN else names[group], value)
        for group, value in by_group(recall, groups).items()
        if value.value is not None
    ]
    return tuple((name, value) for *_, name, value in sorted(found, key=lambda row: row[:3]))


def _intervals(values: dict[str, PerQuery], labels: np.ndarray) -> tuple[dict[str, Interval], int]:
    # Queries of one instance are alike. Scored by group alone, one without label is like no other.
    own = labels.max() + 1 + np.arange(len(labels))
    instance = np.where(labels == UNKNOWN, own, labels)
    scored = ~np.isnan(values["recall@1"].values)
    instances = len(np.unique(instance[scored]))
    if instances < 2:
        return {}, instances
    return {
        name: bootstrap_interval(value, instance, CONFIDENCE_LEVEL)
        for name, value in values.items()
    }, instances


def _unit(embeddings: np.ndarray) -> np.ndarray:
    """Rows of norm 1, as the search compares them; a zero row stays."""
    norm = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(norm, np.finfo(np.float32).tiny)
