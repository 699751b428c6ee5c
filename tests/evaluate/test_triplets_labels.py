"""What triplets from labels are: the rule once more in plain loops, and draws that are uniform."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.triplets import NoTriplets
from graphrise.evaluate.triplets_labels import build_triplets, triplets_at_level

labelled = st.tuples(st.integers(-1, 4), st.integers(-1, 2))


def columns(pairs, dtype="int64"):
    labels, groups = np.array(pairs, dtype=dtype).T
    return labels, groups


@settings(max_examples=120, deadline=None)
@given(
    queries=st.lists(labelled, min_size=1, max_size=6),
    gallery=st.lists(labelled, min_size=1, max_size=8),
    per_query=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_draws_what_the_rule_says(queries, gallery, per_query, seed):
    fits = {}
    for i, (label, group) in enumerate(queries):
        positives = {j for j, (other, _) in enumerate(gallery) if other == label}
        negatives = {
            j for j, (other, g) in enumerate(gallery) if g == group and other not in (label, -1)
        }
        if label != -1 and group != -1 and positives and negatives:
            fits[i] = positives, negatives
    arrays = (*columns(queries), *columns(gallery))
    if not fits:
        with pytest.raises(DataError, match="none of the"):
            build_triplets(*arrays, per_query=per_query, seed=seed)
        return
    triplets = build_triplets(*arrays, per_query=per_query, seed=seed)
    assert triplets.skipped == len(queries) - len(fits)
    assert triplets.anchor.tolist() == [i for i in fits for _ in range(per_query)]
    rows = zip(triplets.anchor, triplets.positive, triplets.negative, strict=True)
    for anchor, positive, negative in rows:
        assert positive in fits[anchor][0]
        assert negative in fits[anchor][1]


def test_every_candidate_is_drawn_and_seeds_repeat():
    queries = columns([(3, 1)], "int32")
    gallery = columns([(9, 1), (3, 1), (3, 0), (3, 1), (1, 1), (9, 0), (2**40, 1)])
    triplets = build_triplets(*queries, *gallery, per_query=400, seed=1)
    positives, counts = np.unique(triplets.positive, return_counts=True)
    assert positives.tolist() == [1, 2, 3]
    assert counts.min() > 90
    negatives, counts = np.unique(triplets.negative, return_counts=True)
    assert negatives.tolist() == [0, 4, 6]
    assert counts.min() > 90
    again = build_triplets(*queries, *gallery, per_query=400, seed=1)
    np.testing.assert_array_equal(again.negative, triplets.negative)
    other = build_triplets(*queries, *gallery, per_query=400, seed=2)
    assert (other.negative != triplets.negative).any()


# Instance -> subcategory -> category.
SUBCATEGORY = (0, 0, 1, 1, 2, 3)
CATEGORY = (0, 0, 1, 1)


@st.composite
def images(draw):
    """(instance, subcategory, category) of a hierarchy, each perhaps unknown."""
    instance = draw(st.integers(0, 5))
    subcategory = SUBCATEGORY[instance]
    labels = instance, subcategory, CATEGORY[subcategory]
    unknown = draw(st.sampled_from([(), (), (0,), (1,), (2,), (0, 1), (1, 2)]))
    return tuple(-1 if level in unknown else label for level, label in enumerate(labels))


def candidates(query, gallery, shared):
    """(positives, negatives) by the definition; empty if the query is unknown where it matters."""
    finer = range(3 if shared is None else shared)
    needed = [*finer, *([] if shared is None else [shared])]
    if -1 in (query[level] for level in needed):
        return set(), set()
    positives = {j for j, other in enumerate(gallery) if other[0] == query[0]}
    negatives = {
        j
        for j, other in enumerate(gallery)
        if -1 not in (other[level] for level in needed)
        and all(other[level] != query[level] for level in finer)
        and (shared is None or other[shared] == query[shared])
    }
    return positives, negatives


@settings(max_examples=200, deadline=None)
@given(
    queries=st.lists(images(), min_size=1, max_size=6),
    gallery=st.lists(images(), min_size=1, max_size=14),
    shared=st.sampled_from([1, 2, None]),
    per_query=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_every_level_is_what_it_says(queries, gallery, shared, per_query, seed):
    found = [candidates(query, gallery, shared) for query in queries]
    fits = [i for i, (positives, negatives) in enumerate(found) if positives and negatives]
    levels = list(np.array(queries).T), list(np.array(gallery).T)
    if not fits:
        with pytest.raises(NoTriplets, match="none of the"):
            triplets_at_level(*levels, shared, per_query, seed)
        return
    triplets = triplets_at_level(*levels, shared, per_query, seed)
    assert triplets.skipped == len(queries) - len(fits)
    assert triplets.anchor.tolist() == [i for i in fits for _ in range(per_query)]
    rows = zip(triplets.anchor, triplets.positive, triplets.negative, strict=True)
    for anchor, positive, negative in rows:
        assert positive in found[anchor][0]
        assert negative in found[anchor][1]
    again = triplets_at_level(*levels, shared, per_query, seed)
    np.testing.assert_array_equal(again.negative, triplets.negative)
    np.testing.assert_array_equal(again.positive, triplets.positive)


@pytest.mark.parametrize(("shared", "images"), [(1, 4), (2, 20), (None, 75)])
def test_draws_of_a_level_are_uniform(shared, images):
    # 4 categories of 5 subcategories of 5 instances of one image, less what the anchor shares.
    instance = np.random.default_rng(0).permutation(100)
    gallery = [instance, instance // 5, instance // 25]
    query = [np.array([37]), np.array([7]), np.array([1])]
    triplets = triplets_at_level(query, gallery, shared, per_query=100 * images, seed=3)
    drawn, counts = np.unique(triplets.negative, return_counts=True)
    assert len(drawn) == images
    degrees = images - 1
    # A chi-square: six standard deviations above its mean are not met by chance.
    assert ((counts - 100) ** 2 / 100).sum() < degrees + 6 * np.sqrt(2 * degrees)


def test_two_levels_are_the_groups():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 30, 200)
    groups = np.where(labels < 0, -1, labels // 4)
    sides = [labels[:50], groups[:50]], [labels[50:], groups[50:]]
    one = triplets_at_level(*sides, 1, per_query=3, seed=5)
    other = build_triplets(*sides[0], *sides[1], per_query=3, seed=5)
    np.testing.assert_array_equal(one.positive, other.positive)
    np.testing.assert_array_equal(one.negative, other.negative)
    assert one.skipped == other.skipped


def test_refusals():
    labels = np.array([1, 2])
    with pytest.raises(ConfigError, match="per_query"):
        build_triplets(labels, labels, labels, labels, per_query=0)
    with pytest.raises(DataError, match="2 query labels, but 1 query groups"):
        build_triplets(labels, labels[:1], labels, labels)
    with pytest.raises(DataError, match="gallery_labels is empty"):
        build_triplets(labels, labels, labels[:0], labels[:0])
    two = [labels, labels]
    for shared in (0, 2, -1):
        with pytest.raises(ConfigError, match=rf"shared is {shared}.*1 to 1.*None"):
            triplets_at_level(two, two, shared)
    with pytest.raises(DataError, match="2 label levels, the queries 1"):
        triplets_at_level([labels], two, 1)
    # Instance 1 lies in subcategories 5 and 6: what differs on "all finer levels" is not one run.
    torn = [np.array([1, 1, 2]), np.array([5, 6, 6]), np.array([0, 0, 0])]
    with pytest.raises(DataError, match="label 1 of level 0 has both 5 and 6 at level 1"):
        triplets_at_level(torn, torn, 2)
