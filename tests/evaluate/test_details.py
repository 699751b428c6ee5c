"""What a report says of a query set beyond its scores."""

import numpy as np
import pytest

from graphrise.config import EvaluateConfig
from graphrise.evaluate.clustering import cluster_agreement
from graphrise.evaluate.details import detail
from graphrise.evaluate.embedded import Embedded
from graphrise.evaluate.groups import GroupValue
from graphrise.evaluate.hubness import hub_statistics
from graphrise.evaluate.intervals import bootstrap_interval
from graphrise.evaluate.ndcg import ndcg_at_k
from graphrise.evaluate.ranking import recall_per_query
from graphrise.evaluate.score import score

NAMES = ("a", "b", "c")


def made(seed=0, images=60, instances=12, groups=3, dim=4):
    """Instances about their own centres, each in one group."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, instances, images)
    centres = rng.normal(size=(instances, dim))
    vectors = (centres[labels] + 0.7 * rng.normal(size=(images, dim))).astype(np.float32)
    return Embedded(vectors, labels, labels % groups, (labels % groups,))


def looked(gallery, queries, config, own=None):
    found = score(gallery, queries, config, own=own)
    return found, detail(found.neighbours, gallery, queries, config, NAMES, own is not None)


@pytest.mark.parametrize("same", [False, True])
def test_agrees_with_the_score(same):
    gallery = made()
    queries = gallery if same else made()[np.arange(20)]
    config = EvaluateConfig(group="g", levels=("g",))
    found, more = looked(gallery, queries, config, np.arange(60) if same else None)
    assert not set(more.metrics) & set(found.metrics)
    known = found.metrics | more.metrics
    for name, interval in more.intervals.items():
        assert interval.mean == pytest.approx(known[name]), name
        assert interval.low <= interval.mean <= interval.high
        assert interval.confidence_level == 0.95
    assert set(more.intervals) == {
        "recall@1",
        "recall@5",
        "recall@10",
        "r-precision",
        "map@r",
        "group recall@1",
        "mmp@5",
        "ndcg@10",
        "graded ndcg@10",
    }
    assert more.hubs == hub_statistics(found.neighbours, 60, 10)


def test_intervals_resample_instances_and_every_unlabelled_query_by_itself():
    gallery, queries = made(), made(1)[np.arange(30)]
    found, more = looked(gallery, queries, EvaluateConfig())
    recall = recall_per_query(found.neighbours, gallery.labels, queries.labels)
    assert more.intervals["recall@1"] == bootstrap_interval(recall, queries.labels)
    assert more.instances == len(np.unique(queries.labels))
    # Unlabelled queries have a group to find.
    labels = np.where(np.arange(30) < 5, -1, queries.labels)
    unlabelled = Embedded(queries.embeddings, labels, queries.groups)
    found, more = looked(gallery, unlabelled, EvaluateConfig(group="g"))
    recall = recall_per_query(found.neighbours, gallery.groups, queries.groups)
    apart = np.where(labels == -1, 100 + np.arange(30), labels)
    assert more.intervals["group recall@1"] == bootstrap_interval(recall, apart)


def test_no_interval_of_one_instance():
    gallery = made()
    one = gallery[np.flatnonzero(gallery.labels == 3)]
    _, more = looked(gallery, one, EvaluateConfig(), np.flatnonzero(gallery.labels == 3))
    assert (more.intervals, more.instances) == ({}, 1)


def test_graded_ndcg_follows_the_levels_or_the_group():
    gallery, queries = made(), made(1)
    config = EvaluateConfig(group="g")
    found, by_group = looked(gallery, queries, config)
    levels = (gallery.labels, gallery.groups), (queries.labels, queries.groups)
    want = ndcg_at_k(found.neighbours, *levels, 10).mean
    assert by_group.metrics["graded ndcg@10"] == want
    _, by_level = looked(gallery, queries, EvaluateConfig(levels=("g",)))
    assert by_level.metrics["graded ndcg@10"] == want
    _, plain = looked(gallery, queries, EvaluateConfig())
    assert "graded ndcg@10" not in plain.metrics
    assert (
        plain.metrics["ndcg@10"]
        == ndcg_at_k(found.neighbours, gallery.labels, queries.labels, 10).mean
    )


def test_a_group_that_cuts_across_labels_has_no_grades_and_says_so():
    gallery, queries = made(), made(1)
    across = Embedded(gallery.embeddings, gallery.labels, np.arange(60) % 3)
    _, more = looked(across, queries, EvaluateConfig(group="g"))
    assert "graded ndcg@10" not in more.metrics
    (said,) = more.counts
    assert said.startswith("queries without graded ndcg@10")
    assert more.counts[said] == 60


def test_groups_from_the_worst_to_the_best():
    # Nearest images: right, wrong, right, right, of groups a, a, b, unknown; c cannot be scored.
    gallery = Embedded(np.eye(4, dtype=np.float32), np.arange(4), np.zeros(4, dtype=np.int64))
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 2, 3, 1]]
    queries = Embedded(vectors, np.array([0, 1, 2, 3, 9]), np.array([0, 0, 1, -1, 2]))
    _, more = looked(gallery, queries, EvaluateConfig(group="g", triplets="x"))
    assert more.groups == (
        ("a", GroupValue(0.5, 2, 0)),
        ("(unknown)", GroupValue(1.0, 1, 0)),
        ("b", GroupValue(1.0, 1, 0)),
    )
    assert more.metrics["mean recall@1 over groups"] == 0.75
    _, plain = looked(gallery, queries, EvaluateConfig(triplets="x"))
    assert plain.groups == ()
    assert "mean recall@1 over groups" not in plain.metrics
    # Groups that no query is known to be in: nothing to take a mean of.
    nowhere = Embedded(queries.embeddings, queries.labels, np.full(5, -1))
    _, none = looked(gallery, nowhere, EvaluateConfig(group="g", triplets="x"))
    assert [name for name, _ in none.groups] == ["(unknown)"]
    assert "mean recall@1 over groups" not in none.metrics


def test_clusters_where_asked_and_by_direction():
    gallery, queries = made(), made(2)
    _, plain = looked(gallery, queries, EvaluateConfig())
    assert not {"nmi", "ami"} & set(plain.metrics)
    _, more = looked(gallery, queries, EvaluateConfig(clustering=True))
    unit = queries.embeddings / np.linalg.norm(queries.embeddings, axis=1, keepdims=True)
    want = cluster_agreement(unit, queries.labels)
    assert (more.metrics["nmi"], more.metrics["ami"]) == (want.nmi, want.ami)
    assert more.counts["clusters"] == want.clusters
    scale = np.random.default_rng(0).uniform(0.1, 9, (60, 1)).astype(np.float32)
    longer = Embedded(queries.embeddings * scale, queries.labels, queries.groups)
    _, same = looked(gallery, longer, EvaluateConfig(clustering=True))
    assert same.metrics["nmi"] == pytest.approx(want.nmi, abs=1e-3)


def test_large_labels_leave_out_what_needs_many_neighbours():
    gallery, queries = made(instances=2), made(1, instances=2)
    _, more = looked(gallery, queries, EvaluateConfig(r_up_to=5, group="g"))
    assert "map@r" not in more.intervals
    assert {"recall@1", "mmp@5", "ndcg@10"} <= set(more.intervals)


def test_a_gallery_of_few_images():
    gallery = Embedded(np.eye(3, dtype=np.float32), np.array([0, 0, 1]), np.zeros(3, dtype=int))
    _, more = looked(gallery, gallery, EvaluateConfig(), np.arange(3))
    assert more.hubs.k == 2
    assert more.metrics["ndcg@10"] > 0
