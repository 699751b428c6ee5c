"""NMI and AMI of a k-means clustering against the labels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphrise.errors import ConfigError, DataError, GraphriseError
from graphrise.evaluate.checks import UNKNOWN, check_embeddings, check_labels


@dataclass(frozen=True)
class ClusterAgreement:
    """Agreement of clusters with labels."""

    nmi: float
    """Normalised mutual information in 0..1; the normaliser is the arithmetic mean of the two
    entropies, as in scikit-learn and pytorch-metric-learning. It rises with the number of clusters
    even for random ones."""
    ami: float
    """Adjusted mutual information, at most 1: 0 is what random clusters get. Arithmetic mean."""
    clusters: int
    """k of k-means: the number of labels."""
    scored: int
    """Images clustered."""
    left_out: int
    """Images of unknown label."""


def cluster_agreement(
    embeddings: np.ndarray, labels: np.ndarray, restarts: int = 5, seed: int = 0
) -> ClusterAgreement:
    """Cluster embeddings into as many clusters as there are labels, and compare.

    Distances are Euclidean: pass normalised embeddings where the cosine counts. Time grows with
    images times labels, that of AMI with labels squared.

    Args:
        embeddings: [N, D] of any real dtype.
        labels: Whole numbers [N], -1 = unknown; such images are left out before clustering.
        restarts: Times that k-means is run; the run of the lowest distance counts. At least 1.
        seed: Of the first centroids, 0..2**31 - 1.

    Raises:
        DataError: An array is empty, malformed or not finite, lengths differ, or all labels are
            unknown.
        ConfigError: `restarts` or `seed` is out of range.
        GraphriseError: faiss or scikit-learn is not installed.
    """
    embeddings = check_embeddings("embeddings", embeddings)
    labels = check_labels("labels", labels)
    if len(embeddings) != len(labels):
        raise DataError(f"{len(embeddings)} embeddings, but {len(labels)} labels")
    known = labels != UNKNOWN
    if not known.any():
        raise DataError("labels are unknown (-1) in all rows: there is nothing to compare with")
    nmi, ami = _scores()
    clusters = len(np.unique(labels[known]))
    assigned = kmeans(embeddings[known], clusters, restarts, seed)
    with warnings.catch_warnings():
        # scikit-learn takes many small classes for a regression; here they are the task.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater")
        return ClusterAgreement(
            float(nmi(labels[known], assigned)),
            float(ami(labels[known], assigned)),
            clusters,
            int(known.sum()),
            int((~known).sum()),
        )


def kmeans(embeddings: np.ndarray, k: int, restarts: int = 5, seed: int = 0) -> np.ndarray:
    """The nearest of k centroids for every embedding, by FAISS's k-means over all of them.

    Args:
        embeddings: [N, D] of any real dtype.
        k: Clusters, 1..N.
        restarts: Times that it is run; the lowest sum of squared distances counts. At least 1.
        seed: Of the first centroids, 0..2**31 - 1.

    Returns:
        Cluster int64 [N], 0..k-1.

    Raises:
        DataError: `embeddings` is empty, malformed or not finite.
        ConfigError: `k`, `restarts` or `seed` is out of range.
        GraphriseError: faiss is not installed.
    """
    embeddings = np.ascontiguousarray(check_embeddings("embeddings", embeddings))
    if not 1 <= k <= len(embeddings):
        raise ConfigError(f"k is {k}: ask for 1 to {len(embeddings)} clusters of as many rows")
    if restarts < 1:
        raise ConfigError(f"restarts is {restarts}: run k-means at least once")
    # FAISS takes a negative seed for "by the clock".
    if not 0 <= seed < 2**31:
        raise ConfigError(f"seed is {seed}: it must lie in 0..2**31 - 1")
    try:
        import faiss
    except ImportError as error:
        raise GraphriseError("k-means needs faiss: pip install faiss-cpu") from error
    # No subsample of the rows, and no complaint about small clusters.
    bounds = {"min_points_per_centroid": 1, "max_points_per_centroid": len(embeddings)}
    model: Any = faiss.Kmeans(embeddings.shape[1], k, nredo=restarts, seed=seed, **bounds)
    model.train(embeddings)
    return model.assign(embeddings)[1]


def _scores() -> tuple[Any, Any]:
    try:
        from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score
    except ImportError as error:
        raise GraphriseError(
            "NMI and AMI come with scikit-learn: pip install graphrise[demo]"
        ) from error
    return normalized_mutual_info_score, adjusted_mutual_info_score
