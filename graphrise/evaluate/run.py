"""Evaluation of an encoder over the image sets of a dataset folder, and of a run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from graphrise.config import EvaluateConfig, RunConfig, to_dict
from graphrise.evaluate.details import CONFIDENCE_LEVEL
from graphrise.evaluate.figures import write_figures
from graphrise.evaluate.image_sets import TRIPLETS, ImageSets
from graphrise.evaluate.report import write_report
from graphrise.evaluate.report_data import Model, QuerySet, Report, RunResult
from graphrise.evaluate.score import Score
from graphrise.images.dataset import open_images
from graphrise.nn.encoder import Encoder, load_encoder
from graphrise.train.folder import RunResult as Trained
from graphrise.train.folder import read_run, versions, write_json

MEAN = "mean"
"""Name of the unweighted mean over query sets, beside them in a report."""


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
        details={where: s.detail for where, s in scores.items() if s.detail is not None},
    )


def mean_score(scores: dict[str, Score]) -> Score:
    """Unweighted mean over query sets of each metric that all of them have.

    Args:
        scores: At least one query set; the triplets of a file may stand among them.
    """
    sets = [s.metrics for where, s in scores.items() if where != TRIPLETS]
    shared = [name for name in sets[0] if all(name in metrics for metrics in sets)]
    mean = {name: float(np.mean([metrics[name] for metrics in sets])) for name in shared}
    return Score(mean, {"query sets": len(sets)}, None, np.empty((0, 0), dtype=np.int64))


def _plain(scored: Score) -> dict[str, Any]:
    """A score for JSON: metrics, counts and, with a detail, intervals, hubs and groups."""
    found: dict[str, Any] = {"metrics": scored.metrics, "counts": scored.counts}
    if scored.detail is None:
        return found
    more, hubs = scored.detail, scored.detail.hubs
    found["intervals"] = {name: [one.low, one.high] for name, one in more.intervals.items()}
    found["resampled instances"] = more.instances
    found["hubs"] = {
        "k": hubs.k,
        "skewness of the k-occurrence": hubs.skewness,
        "share never found": hubs.never_found,
        "largest k-occurrence": hubs.largest,
    }
    if more.groups:
        found["recall@1 by group"] = [
            {"group": name, "recall@1": one.value, "scored": one.scored, "left out": one.left_out}
            for name, one in more.groups
        ]
    return found


def _note(sets: ImageSets, where: str) -> str:
    """What a reader must know of a query set."""
    if where == TRIPLETS:
        return f"triplets of {sets.config.triplets}"
    if where == MEAN:
        return "unweighted mean over the query sets"
    if sets.own[where] is not None:
        return "these images lie in the gallery: each is left out of its own neighbours"
    return ""


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
    scores = sets.scores(encoder, details=True)
    test = config.queries[-1]
    asked = {"gallery": config.gallery, "k": config.k, "triplets": config.triplets}
    asked["confidence_level"] = CONFIDENCE_LEVEL
    result = {where: _plain(s) for where, s in scores.items()}
    if len(config.queries) > 1:
        scores[MEAN] = mean_score(scores)
        asked[MEAN] = scores[MEAN].metrics
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
            QuerySet(name=where, note=_note(sets, where), counts=s.counts)
            for where, s in scores.items()
        ],
        test_set=test,
        main_metric="recall@1",
        retrieval_grid=sets.grid({run.resolve().name: scores[test]}, test),
        retrieval_note="Queries evenly spaced over the set.",
        command=f"graphrise evaluate {run.name}",
        versions=versions(),
        settings=to_dict(dataclasses.replace(run_config, evaluate=config)),
    )
    write_figures(run / "plots", report)
    write_report(run / "report.html", report)
    return report
