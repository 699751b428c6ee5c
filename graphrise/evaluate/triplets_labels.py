"""Triplets from labels: the negative agrees with the anchor on one level of a hierarchy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.checks import UNKNOWN, check_labels
from graphrise.evaluate.levels import check_levels, check_nested, check_pair
from graphrise.evaluate.triplets import NoTriplets, Triplets


def build_triplets(
    query_labels: np.ndarray,
    query_groups: np.ndarray,
    gallery_labels: np.ndarray,
    gallery_groups: np.ndarray,
    per_query: int = 1,
    seed: int = 0,
) -> Triplets:
    """Draws (anchor, positive, negative) with a hard negative: another label of the same group.

    The paper's triplets (Graph-RISE, section on triplet evaluation) were rated by people and never
    released; these come from labels instead. Draws are uniform, with replacement. The gallery must
    not hold the query images themselves, or an anchor may be its own positive.

    Args:
        query_labels: Whole numbers [Q], -1 = unknown.
        query_groups: Coarser class of each query [Q] (a subcategory), -1 = unknown.
        gallery_labels: Whole numbers [N], -1 = unknown; such images are never drawn.
        gallery_groups: Whole numbers [N], -1 = unknown; such images are never negatives.
        per_query: Triplets for each query that has any, at least 1.
        seed: Of the draws.

    Raises:
        DataError: An array is empty or malformed; NoTriplets: no query has a triplet.
        ConfigError: `per_query` is below 1.
    """
    queries = _pair("query", query_labels, query_groups)
    gallery = _pair("gallery", gallery_labels, gallery_groups)
    return _draw(queries, gallery, 1, per_query, seed)


def triplets_at_level(
    query_levels: Sequence[np.ndarray],
    gallery_levels: Sequence[np.ndarray],
    shared: int | None,
    per_query: int = 1,
    seed: int = 0,
) -> Triplets:
    """Draws triplets whose negative agrees with the anchor on one level and on no finer one.

    With labels of (instance, subcategory, category), `shared` 1 gives other instances of the
    subcategory, 2 images of the category outside the subcategory, None images outside the
    category: from the fine distinctions of the paper's product-instance triplets (PIT) to those of
    its general ones (GIT). The positive is of the anchor's instance at every level. Draws are as
    in `build_triplets`, which is `shared` 1 of two levels.

    Args:
        query_levels: Whole numbers [Q] for each level, the finest (the instance) first,
            -1 = unknown. A query unknown at a level that matters is skipped.
        gallery_levels: Whole numbers [N] for each level; an image unknown at a level that matters
            is never a negative.
        shared: Level that anchor and negative agree on, from 1; None: they agree on none.
        per_query: Triplets for each query that has any, at least 1.
        seed: Of the draws.

    Raises:
        DataError: An array is empty or malformed, queries and gallery differ in levels, or those
            below `shared` are no hierarchy: a label lies in two coarser ones; NoTriplets: no query
            has a triplet.
        ConfigError: There is no such level, or `per_query` is below 1.
    """
    queries = check_levels("query_levels", query_levels)
    gallery = check_levels("gallery_levels", gallery_levels)
    check_pair(gallery, queries)
    if shared is not None and not 1 <= shared < len(queries):
        raise ConfigError(
            f"shared is {shared}: of {len(queries)} levels it may be 1 to {len(queries) - 1}, or "
            "None for negatives that share none"
        )
    return _draw(queries, gallery, shared, per_query, seed)


def _draw(
    queries: list[np.ndarray],
    gallery: list[np.ndarray],
    shared: int | None,
    per_query: int,
    seed: int,
) -> Triplets:
    if per_query < 1:
        raise ConfigError(f"per_query is {per_query}: draw at least 1 triplet")
    depth = len(queries) if shared is None else shared
    known_query, known = _known(queries, depth, shared), _known(gallery, depth, shared)
    check_nested([g[known] for g in gallery[:depth]], [q[known_query] for q in queries[:depth]])
    groups, gallery_g = (
        np.zeros_like(levels[0]) if shared is None else levels[shared]
        for levels in (queries, gallery)
    )

    by_label = np.argsort(gallery[0], kind="stable")
    positive_from, positives = _span(gallery[0][by_label], queries[0])
    # In a hierarchy an image that agrees on any finer level agrees on the last of them.
    finer = gallery[depth - 1]
    pool = known.nonzero()[0]
    pool = pool[np.lexsort((finer[pool], gallery_g[pool]))]
    group_from, group_size = _span(gallery_g[pool], groups)
    own, own_query = _joined((gallery_g[pool], finer[pool]), (groups, queries[depth - 1]))
    own_from, own_size = _span(own, own_query)
    negatives = group_size - own_size

    fit = known_query & (positives > 0) & (negatives > 0)
    if not fit.any():
        raise NoTriplets(
            f"none of the {len(fit)} queries has both a gallery image of its label and one of "
            f"another label{'' if shared is None else ' in its group'}: check the labels"
            f"{'' if shared is None else ' and groups'} of queries and gallery"
        )
    anchor = np.repeat(fit.nonzero()[0], per_query)
    rng = np.random.default_rng(seed)
    positive = by_label[positive_from[anchor] + rng.integers(positives[anchor])]
    # A group's images lie sorted by the finer label: step over the run that carries the anchor's.
    place = group_from[anchor] + rng.integers(negatives[anchor])
    place = np.where(place >= own_from[anchor], place + own_size[anchor], place)
    return Triplets(anchor, positive, pool[place], int((~fit).sum()))


def _pair(side: str, labels: np.ndarray, groups: np.ndarray) -> list[np.ndarray]:
    labels = check_labels(f"{side}_labels", labels)
    groups = check_labels(f"{side}_groups", groups)
    if len(labels) != len(groups):
        raise DataError(f"{len(labels)} {side} labels, but {len(groups)} {side} groups")
    return [labels, groups]


def _known(levels: list[np.ndarray], depth: int, shared: int | None) -> np.ndarray:
    """Rows whose every level that matters is known."""
    needed = levels[:depth] if shared is None else levels[: depth + 1]
    return np.all([level != UNKNOWN for level in needed], axis=0)


def _span(ordered: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each value starts in a sorted array, and how often it stands there."""
    start = np.searchsorted(ordered, values, side="left")
    return start, np.searchsorted(ordered, values, side="right") - start


def _joined(
    gallery: tuple[np.ndarray, np.ndarray], queries: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """One number for each pair (first, second), in the order of the pairs."""
    # Dense codes, because a product of raw labels may leave int64.
    first, second = (
        np.unique(np.concatenate(both), return_inverse=True)[1]
        for both in zip(gallery, queries, strict=True)
    )
    joined = first * (second.max() + 1) + second
    return joined[: len(gallery[0])], joined[len(gallery[0]) :]
