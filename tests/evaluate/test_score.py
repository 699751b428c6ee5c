"""One query set against one gallery."""

import numpy as np
import pytest
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from graphrise.config import EvaluateConfig
from graphrise.errors import DataError
from graphrise.evaluate.embedded import Embedded, codes
from graphrise.evaluate.score import score
from graphrise.evaluate.triplets import NoTriplets
from graphrise.evaluate.triplets_labels import build_triplets

GALLERY = Embedded(np.eye(4, dtype=np.float32), np.array([0, 1, 2, 3]), np.array([0, 0, 0, 1]))


def queries(vectors, labels, groups):
    return Embedded(np.array(vectors, dtype=np.float32), np.array(labels), np.array(groups))


def test_by_hand():
    # The second query is nearest to label 0 and second nearest to its own.
    found = score(
        GALLERY, queries([[1, 0, 0, 0], [3, 2, 0, 0]], [0, 1], [0, 0]), EvaluateConfig(k=1)
    )
    assert found.metrics["recall@1"] == 0.5
    assert found.metrics["recall@5"] == 1
    assert found.counts["queries scored"] == 2
    assert found.neighbours[:, 0].tolist() == [0, 0]
    assert found.margin_curve is not None
    assert 0.5 <= found.metrics["triplets"] < 1


def test_a_label_that_the_gallery_lacks_is_counted():
    found = score(GALLERY, queries([[1, 0, 0, 0], [0, 1, 0, 0]], [0, 9], [0, 0]), EvaluateConfig())
    assert found.counts["queries scored"] == 1
    assert found.counts["queries left out"] == 1
    assert found.counts["queries without a triplet"] == 1
    assert found.metrics["recall@1"] == 1
    with pytest.raises(DataError):
        score(GALLERY, queries([[0, 1, 0, 0]], [9], [0]), EvaluateConfig())


def test_no_triplet_is_a_count_but_malformed_arrays_are_an_error():
    lonely = queries([[0, 0, 0, 1]], [3], [1])
    found = score(GALLERY, lonely, EvaluateConfig())
    assert found.margin_curve is None
    assert found.counts["queries without a triplet"] == 1
    assert "triplets" not in found.metrics
    with pytest.raises(NoTriplets):
        build_triplets(lonely.labels, lonely.groups, GALLERY.labels, GALLERY.groups)
    short = Embedded(lonely.embeddings, lonely.labels, np.array([0, 0]))
    with pytest.raises(DataError, match="1 query labels, but 2 query groups"):
        score(GALLERY, short, EvaluateConfig())


def test_a_gallery_against_itself():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], dtype=np.float32)
    both = Embedded(vectors, np.array([0, 0, 1, 1]), np.zeros(4, dtype=np.int64))
    found = score(both, both, EvaluateConfig(), own=np.arange(4))
    assert found.metrics["recall@1"] == 1
    assert (found.neighbours != np.arange(4)[:, None]).all()
    assert found.margin_curve is None


def test_empty_sets_and_codes():
    none = Embedded(np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, np.int64))
    for gallery, query in ((none, GALLERY), (GALLERY, none)):
        with pytest.raises(DataError, match="the gallery or the query set is empty"):
            score(gallery, query, EvaluateConfig())
    words = {}
    assert codes(["x", None, "y", "x", 3], words).tolist() == [0, -1, 1, 0, 2]
    assert codes(["3", "z"], words).tolist() == [2, 3]


def test_r_precision_and_group_recall():
    # Two instances in group 0, one in group 1; the query sees its instance, then group 1, then 0.
    vectors = [[1, 0, 0], [0.9, 0.1, 0], [0, 1, 0], [0.5, 0.8, 0]]
    gallery = queries(vectors, [0, 0, 1, 2], [0, 0, 0, 1])
    asked = queries([[1, 0.1, 0]], [0], [0])
    found = score(gallery, asked, EvaluateConfig(group="class"))
    assert found.metrics["r-precision"] == found.metrics["map@r"] == 1
    assert found.metrics["group recall@1"] == 1
    assert found.metrics["group recall@1 without instance"] == 0
    assert found.counts["queries with other instances of their group"] == 1
    plain = score(gallery, asked, EvaluateConfig())
    assert not any("group" in name for name in [*plain.metrics, *plain.counts])
    assert plain.metrics["map@r"] == 1


def test_r_above_the_limit_is_left_out_and_said():
    rng = np.random.default_rng(0)
    gallery = Embedded(rng.normal(size=(90, 4)), np.repeat([0, 1, 2], 30), np.zeros(90, int))
    asked = Embedded(rng.normal(size=(5, 4)), np.array([0, 1, 2, 0, 1]), np.zeros(5, int))
    found = score(gallery, asked, EvaluateConfig(r_up_to=30, group="g"))
    assert {"r-precision", "map@r", "group recall@1"} <= set(found.metrics)
    assert found.neighbours.shape == (5, 31)
    low = score(gallery, asked, EvaluateConfig(r_up_to=29, group="g"))
    assert not {"r-precision", "map@r"} & set(low.metrics)
    assert low.counts["neighbours needed for map@r, above evaluate.r_up_to"] == 30
    # A gallery in itself needs one neighbour less.
    own = score(gallery, gallery, EvaluateConfig(r_up_to=29), own=np.arange(90))
    assert "map@r" in own.metrics


def test_queries_in_the_gallery_do_not_find_themselves():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 6)).astype(np.float32)
    both = Embedded(vectors, rng.integers(0, 8, 40), np.zeros(40, dtype=np.int64))
    whole = score(both, both, EvaluateConfig(k=1), own=np.arange(40))
    some = np.array([31, 2, 7, 8])
    found = score(both, both[some], EvaluateConfig(k=1), own=some)
    assert found.neighbours.tolist() == whole.neighbours[some, : found.neighbours.shape[1]].tolist()
    assert "triplets" not in found.metrics
    hits = both.labels[whole.neighbours[some, 0]] == both.labels[some]
    assert found.metrics["recall@1"] == found.metrics["knn@1"] == hits.mean()


@pytest.mark.parametrize("same", [False, True])
def test_equal_to_pytorch_metric_learning_from_embeddings_on(same):
    """Their search too, over galleries of all sizes around the k of the metrics."""
    names = {"precision_at_1": "recall@1", "r_precision": "r-precision"}
    names["mean_average_precision_at_r"] = "map@r"
    judge = AccuracyCalculator(include=tuple(names), device=torch.device("cpu"))
    for seed in range(40):
        rng = np.random.default_rng(seed)
        # From a gallery smaller than every k on; some labels have one image.
        size = int(rng.integers(3, 60))
        vectors = [rng.normal(size=(n, 5)).astype(np.float32) for n in (size, 12)]
        unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in vectors]
        labels = [rng.integers(0, size // 3 + 1, len(x)) for x in unit]
        labels[0][:2] = labels[1][0]
        gallery, asked = [
            Embedded(x, y, np.zeros_like(y)) for x, y in zip(unit, labels, strict=True)
        ]
        asked = gallery if same else asked
        own = np.arange(size) if same else None
        found = score(gallery, asked, EvaluateConfig(), own=own).metrics
        want = judge.get_accuracy(
            torch.from_numpy(asked.embeddings),
            torch.from_numpy(asked.labels),
            torch.from_numpy(gallery.embeddings),
            torch.from_numpy(gallery.labels),
            same,
        )
        for theirs, ours in names.items():
            assert found[ours] == pytest.approx(want[theirs], abs=1e-6), (seed, ours)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused(bad):
    broken = GALLERY.embeddings.copy()
    broken[2, 1] = bad
    wrong = Embedded(broken, GALLERY.labels, GALLERY.groups)
    for gallery, asked, own in (
        (wrong, GALLERY, None),
        (GALLERY, wrong, None),
        (wrong, wrong, np.arange(4)),
        (wrong, wrong[np.array([0, 1])], np.array([0, 1])),
    ):
        with pytest.raises(DataError, match=r"NaN or infinity in 1 of \d rows, first in row 2"):
            score(gallery, asked, EvaluateConfig(), own=own)
