"""Hubs: gallery images that turn up among the neighbours of far too many queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.checks import check_index


@dataclass(frozen=True)
class HubStatistics:
    """How unevenly the gallery's images are found."""

    k: int
    """Neighbours of each query that were counted."""
    skewness: float
    """Skewness of the k-occurrences: 0 for an even spread, large where a few hubs are found all the
    time; 0 if all images are found equally often."""
    never_found: float
    """Share of the gallery in 0..1 that is nobody's neighbour (anti-hubs)."""
    largest: int
    """k-occurrence of the largest hub; its mean over the gallery is k Q / N."""
    hub: int
    """Gallery row of the largest hub, the lowest of several."""


def k_occurrence(index: np.ndarray, gallery: int, k: int) -> np.ndarray:
    """N_k: how many queries have each gallery image among their k nearest.

    Args:
        index: Gallery rows [Q, K] of every query, nearest first.
        gallery: Its number of images N, at least 1.
        k: At least 1 and at most K.

    Returns:
        int64 [N], summing to k Q.

    Raises:
        DataError: The index is malformed, holds no query or fewer than k neighbours, or points
            outside the gallery.
        ConfigError: `k` is below 1.
    """
    if k < 1:
        raise ConfigError(f"k is {k}: count at least 1 neighbour")
    index = check_index(index, len(index), gallery)
    if len(index) == 0 or index.shape[1] < k:
        raise DataError(f"index has shape {index.shape}: k = {k} needs queries and neighbours")
    return np.bincount(index[:, :k].ravel(), minlength=gallery)


def hub_statistics(index: np.ndarray, gallery: int, k: int = 10) -> HubStatistics:
    """Skewness of the k-occurrences, anti-hubs and the largest hub.

    Radovanovic et al., "Hubs in space", JMLR 11, 2010, section 2.

    Args:
        index: Gallery rows [Q, K] of every query, nearest first; searching a set in itself
            (`knn(exclude_self=True)`) shows the space, other queries show the search.
        gallery: Its number of images N.
        k: As in `k_occurrence`, whose errors it raises.
    """
    found = k_occurrence(index, gallery, k)
    deviation = found - found.mean()
    sd = found.std()
    skewness = float((deviation * deviation * deviation).mean() / sd**3) if sd > 0 else 0.0
    hub = int(found.argmax())
    return HubStatistics(k, skewness, float((found == 0).mean()), int(found[hub]), hub)
