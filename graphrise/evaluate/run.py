"""Evaluation of an encoder over the image sets of a dataset folder, and of a run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from graphrise.config import EvaluateConfig, ImageConfig, RunConfig, to_dict
from graphrise.data.tables import ImageTable
from graphrise.errors import DataError
from graphrise.evaluate.embed import embed
from graphrise.evaluate.figures import write_figures
from graphrise.evaluate.grid import retrieval_grid
from graphrise.evaluate.report import write_report
from graphrise.evaluate.report_data import Model, QuerySet, Report, RunResult
from graphrise.evaluate.score import Embedded, Score, codes, score
from graphrise.evaluate.triplets import Triplets
from graphrise.evaluate.triplets_file import read_triplets
from graphrise.evaluate.triplets_score import judge
from graphrise.images.base import ImageStore
from graphrise.images.dataset import open_images
from graphrise.images.reader import ImageReader
from graphrise.nn.encoder import Encoder, load_encoder
from graphrise.train.folder import RunResult as Trained
from graphrise.train.folder import read_run, versions, write_json

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
            DataError: A column or set is missing, or a query set overlaps the gallery in part.
        """
        self.config, self._shown = config, shown
        self.rows = {where: images.select(where) for where in (config.gallery, *config.queries)}
        gallery = set(self.rows[config.gallery].tolist())
        for where in config.queries:
            shared = len(gallery.intersection(self.rows[where].tolist()))
            if shared > 0 and self.rows[where].size != shared:
                raise DataError(
                    f"{shared} images are in both {config.gallery} (gallery) and {where}: they "
                    "would find themselves; choose disjoint sets, or one set as both"
                )
        labels = images.column(config.label)
        groups = ["all"] * len(images) if config.group is None else images.column(config.group)
        coarser = [images.column(name) for name in config.levels]
        words: list[dict[str, int]] = [{} for _ in (labels, groups, *coarser)]
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

    def _reader(self, store: ImageStore, rows: np.ndarray) -> ImageReader:
        return ImageReader(store, rows, self._shown.canvas, cache_mib=ImageConfig().cache_mib)

    def embedded(self, encoder: Encoder, where: str) -> Embedded:
        """One set through an encoder."""
        vectors = embed(encoder, self.readers[where], self._shown)
        return Embedded(vectors, self.labels[where], self.groups[where], self.levels[where])

    def scores(self, encoder: Encoder, queries: tuple[str, ...] | None = None) -> dict[str, Score]:
        """Score of every query set (or of some), by its `column=value`.

        With all query sets also that of the triplets of a file, if `config` names one: `TRIPLETS`,
        a score without neighbours.
        """
        gallery = self.embedded(encoder, self.config.gallery)
        found = {}
        for where in queries or self.config.queries:
            same = np.array_equal(self.rows[where], self.rows[self.config.gallery])
            vectors = gallery if same else self.embedded(encoder, where)
            found[where] = score(gallery, vectors, self.config, same=same)
        if queries is None and self.triplets is not None:
            vectors = embed(encoder, self.readers[TRIPLETS], self._shown)
            curve, metrics = judge(self.triplets, vectors, vectors)
            counts = {"triplets": self.triplets.anchor.size}
            found[TRIPLETS] = Score(metrics, counts, curve, np.empty((0, 0), dtype=np.int64))
        return found

    def grid(self, scores: dict[str, Score], where: str) -> bytes:
        """Retrieval grid of evenly spaced queries of a set: model name to its score."""
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


def probe_of(dataset: Path, config: RunConfig, where: str) -> Callable[[Encoder], dict[str, float]]:
    """A probe for `train`: recall@1 of one query set, cheap enough to call while training."""
    probed = dataclasses.replace(config.evaluate, queries=(where,), triplets="labels", levels=())
    sets = ImageSets(*open_images(dataset), probed, config.images)

    def probe(encoder: Encoder) -> dict[str, float]:
        return {"recall@1": sets.scores(encoder)[where].metrics["recall@1"]}

    return probe


def run_result(trained: Trained, seed: int, scores: dict[str, Score], test: str) -> RunResult:
    """A run folder's result and scores as the report wants them."""
    curve = [{("loss" if k == "label_loss" else k): v for k, v in p.items()} for p in trained.curve]
    return RunResult(
        seed=seed,
        encoder_passes=trained.passes,
        seconds=trained.seconds,
        metrics={where: s.metrics for where, s in scores.items()},
        curve=curve,
        margin_curve=scores.get(TRIPLETS, scores[test]).margin_curve,
    )


def evaluate_run(run: Path, dataset: Path | None, config: EvaluateConfig | None) -> Report:
    """Evaluate a finished run: writes `metrics.json`, `plots/` and `report.html` into it.

    Args:
        run: Run folder.
        dataset: Dataset folder; None: the one the run was trained on.
        config: Sets and metrics; None: those of the run.

    Returns:
        The report.

    Raises:
        DataError: The run is not finished, or the dataset lacks what is asked for.
    """
    run_config, trained_on, trained = read_run(run)
    config = config or run_config.evaluate
    encoder, shown = load_encoder(run)
    sets = ImageSets(*open_images(dataset or trained_on), config, shown)
    scores = sets.scores(encoder)
    test = config.queries[-1]
    result = {where: {"metrics": s.metrics, "counts": s.counts} for where, s in scores.items()}
    asked = {"gallery": config.gallery, "k": config.k, "triplets": config.triplets}
    write_json(run / "metrics.json", {**asked, "queries": result})
    report = Report(
        title=f"graphrise: {run.resolve().name}",
        intro=f"kNN search in {config.gallery} and triplets, by cosine similarity.",
        models=[
            Model(
                name=run.resolve().name,
                runs=[run_result(trained, run_config.train.seed, scores, test)],
            )
        ],
        query_sets=[
            QuerySet(
                name=where,
                note=f"triplets of {config.triplets}" if where == TRIPLETS else "",
                counts=s.counts,
            )
            for where, s in scores.items()
        ],
        test_set=test,
        main_metric="recall@1",
        retrieval_grid=sets.grid({run.resolve().name: scores[test]}, test),
        retrieval_note="Queries evenly spaced over the set.",
        command=f"graphrise evaluate {run.name}",
        versions=versions(),
        settings=to_dict(run_config),
    )
    write_figures(run / "plots", report)
    write_report(run / "report.html", report)
    return report
