"""What an edge counts beside its weight: by its kinds, and by whether its ends have labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphrise.errors import ConfigError
from graphrise.graph.kinds import kind_mask
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import Graph


class EdgeFactors:
    """Factors `f_uv` on the coefficients of drawn edges.

    A draw does not depend on them, so that what an estimator is unbiased for is then
    `sum_v f_uv v_uv d(u, v)`; the weights `v_uv` are normalised, where they are, without factors.
    """

    def __init__(
        self,
        graph: Graph,
        by_kind: Mapping[str, float] | None = None,
        *,
        labelled: float = 1.0,
        others: float = 1.0,
        labels: Ragged | None = None,
    ) -> None:
        """Keep the factors.

        Args:
            graph: Knows the kinds of edges.
            by_kind: Factors of kinds by name, 1 of those not named. Of an edge of several kinds the
                largest counts: it is as good as the best that speaks for it.
            labelled: Of edges from labelled images to labelled ones.
            others: Of edges from labelled images to unlabelled ones.
            labels: Says which images are labelled; needed if these two differ.

        Raises:
            ConfigError: The graph knows no such kind of edge.
        """
        by_kind = by_kind or {}
        if by_kind:
            kind_mask(graph, tuple(by_kind), "edges.alpha_by_kind")
        if labelled != others and labels is None:
            raise ConfigError("edge factors by label need to know which images have some: labels")
        bits = np.arange(256)
        best = np.full(256, -np.inf)
        for name, bit in graph.kinds.items():
            best = np.where(bits & bit, np.maximum(best, by_kind.get(name, 1.0)), best)
        self._by_kind = np.where(np.isfinite(best), best, 1.0)
        self._labelled, self._others, self._labels = labelled, others, labels

    def of(
        self, kind: np.ndarray, neighbor: np.ndarray, row: np.ndarray, num_seeds: int
    ) -> np.ndarray:
        """Factors of some edges.

        Args:
            kind: uint8 `[E]`, bits.
            neighbor: int64 `[E]`, node that each leads to.
            row: int64 `[E]`, position of the image that it is drawn for; below `num_seeds` those
                are labelled, and the other two factors are for them alone.
            num_seeds: B.

        Returns:
            float32 `[E]`.
        """
        factor = self._by_kind[kind]
        if self._labels is not None and self._labelled != self._others:
            rowptr = self._labels.rowptr
            to = np.where(rowptr[neighbor] < rowptr[neighbor + 1], self._labelled, self._others)
        else:
            to = self._labelled
        return np.where(row < num_seeds, factor * to, factor).astype(np.float32)
