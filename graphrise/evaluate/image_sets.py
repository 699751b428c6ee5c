"""The image sets of a dataset folder, embedded and scored."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from graphrise.config import EvaluateConfig, ImageConfig
from graphrise.data.tables import ImageTable
from graphrise.errors import DataError
from graphrise.evaluate.details import detail
from graphrise.evaluate.embed import embed
from graphrise.evaluate.embedded import Embedded, codes
from graphrise.evaluate.grid import retrieval_grid
from graphrise.evaluate.score import Score, score
from graphrise.evaluate.triplets import Triplets
from graphrise.evaluate.triplets_file import read_triplets
from graphrise.evaluate.triplets_score import judge
from graphrise.images.base import ImageStore
from graphrise.images.readers import Reader, reader_of
from graphrise.nn.encoder import Encoder

GRID_QUERIES = 12
GRID_NEIGHBOURS = 5
TRIPLETS = "triplets"
"""Name under which the triplets of a file are scored, beside the query sets (`column=value`)."""


class ImageSets:
    """The gallery and query sets of a dataset, decoded once for any number of encoders."""

    def __init__(
        self, images: ImageTable, store: ImageStore, config: EvaluateConfig, shown: ImageConfig
    ) -> None:
        """Select the sets.

        Args:
            images: Rows of the dataset.
            store: Their pictures.
            config: Sets and metrics.
            shown: Size and crop that the encoder wants.

        Raises:
            DataError: A column or set is missing, or a query set lies in the gallery in part.
        """
        self.config, self._shown = config, shown
        self.rows = {where: images.select(where) for where in (config.gallery, *config.queries)}
        self.own = {where: self._own(where) for where in self.rows}
        labels = images.column(config.label)
        groups = ["all"] * len(images) if config.group is None else images.column(config.group)
        coarser = [images.column(name) for name in config.levels]
        words: list[dict[str, int]] = [{} for _ in (labels, groups, *coarser)]
        self._group_codes = words[1]
        self.labels, self.groups, self.levels, self.readers = {}, {}, {}, {}
        for where, rows in self.rows.items():
            columns = zip((labels, groups, *coarser), words, strict=True)
            coded = [codes([values[r] for r in rows], seen) for values, seen in columns]
            self.labels[where], self.groups[where], *levels = coded
            self.levels[where] = tuple(levels)
            self.readers[where] = self._reader(store, rows)
        self.triplets: Triplets | None = None
        if config.triplets != "labels":
            found = read_triplets(config.triplets, images)
            rows = np.stack([found.anchor, found.positive, found.negative])
            rows, at = np.unique(rows, return_inverse=True)
            self.triplets = Triplets(*at.reshape(3, -1), skipped=0)
            self.readers[TRIPLETS] = self._reader(store, rows)

    def _own(self, where: str) -> np.ndarray | None:
        """Gallery row of every query of a set that lies in the gallery, int64; None outside it."""
        gallery, rows = self.rows[self.config.gallery], self.rows[where]
        inside = np.isin(rows, gallery)
        if not inside.any():
            return None
        if not inside.all():
            raise DataError(
                f"{inside.sum()} images are in both {self.config.gallery} (gallery) and {where}, "
                f"{(~inside).sum()} of {where} are not: choose a query set that lies outside the "
                "gallery, or wholly in it"
            )
        return np.searchsorted(gallery, rows)

    def _reader(self, store: ImageStore, rows: np.ndarray) -> Reader:
        return reader_of(store, rows, self._shown.canvas, cache_mib=ImageConfig().cache_mib)

    def embedded(self, encoder: Encoder, where: str) -> Embedded:
        """One set through an encoder."""
        vectors = embed(encoder, self.readers[where], self._shown)
        return Embedded(vectors, self.labels[where], self.groups[where], self.levels[where])

    def scores(
        self, encoder: Encoder, queries: tuple[str, ...] | None = None, *, details: bool = False
    ) -> dict[str, Score]:
        """Score of every query set (or of some), by its `column=value`.

        With all query sets also that of the triplets of a file, if `config` names one: `TRIPLETS`,
        a score without neighbours. With `details` every score of a query set has its `detail`,
        whose metrics and counts are among its own: what a report of one run shows beyond the scores
        that runs are compared by, for some hundredths of the time of a
        large gallery's search.
        """
        gallery = self.embedded(encoder, self.config.gallery)
        found = {}
        for where in queries or self.config.queries:
            own = self.own[where]
            vectors = self.embedded(encoder, where) if own is None else gallery[own]
            scored = score(gallery, vectors, self.config, own=own)
            found[where] = self._detailed(scored, gallery, vectors, own) if details else scored
        if queries is None and self.triplets is not None:
            vectors = embed(encoder, self.readers[TRIPLETS], self._shown)
            curve, metrics = judge(self.triplets, vectors, vectors)
            counts = {"triplets": self.triplets.anchor.size}
            found[TRIPLETS] = Score(metrics, counts, curve, np.empty((0, 0), dtype=np.int64))
        return found

    def _detailed(
        self, scored: Score, gallery: Embedded, queries: Embedded, own: np.ndarray | None
    ) -> Score:
        names = list(self._group_codes)
        found = detail(scored.neighbours, gallery, queries, self.config, names, own is not None)
        metrics, counts = scored.metrics | found.metrics, scored.counts | found.counts
        return dataclasses.replace(scored, metrics=metrics, counts=counts, detail=found)

    def grid(self, scores: dict[str, Score], where: str) -> bytes | None:
        """Retrieval grid of evenly spaced queries of a set: model name to its score.

        None if images are features: there is nothing to show.
        """
        if self.readers[where].width is not None:
            return None
        picked = np.linspace(0, self.rows[where].size - 1, GRID_QUERIES).round().astype(int)
        picked = np.unique(picked)
        near = {
            name: s.neighbours[picked, : min(GRID_NEIGHBOURS, s.neighbours.shape[1])]
            for name, s in scores.items()
        }
        gallery = self.config.gallery
        shown = np.unique(np.concatenate([n.ravel() for n in near.values()]))
        labels = self.labels[where][picked]
        return retrieval_grid(
            self._pictures(where, picked),
            dict(zip(shown.tolist(), self._pictures(gallery, shown), strict=True)),
            near,
            {name: self.labels[gallery][n] == labels[:, None] for name, n in near.items()},
        )

    def _pictures(self, where: str, positions: np.ndarray) -> list[np.ndarray]:
        pixels = self.readers[where].read(torch.from_numpy(positions.astype(np.int64)))
        return [p.permute(1, 2, 0).numpy() for p in pixels]
