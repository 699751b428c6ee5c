"""Trained models side by side: scores on every query set, graph statistics, the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graphrise.config import EvaluateConfig, to_dict
from graphrise.data.tables import ImageTable
from graphrise.demo.variants import BASELINE, FEATURED, Trained
from graphrise.evaluate.report_data import Model, QuerySet, Report
from graphrise.evaluate.run import ImageSets, run_result
from graphrise.evaluate.score import Score
from graphrise.graph.store import Graph, open_graph
from graphrise.images.dataset import open_images
from graphrise.nn.encoder import load_encoder
from graphrise.train.folder import read_run, versions

NOTES = {
    "vendor=google": ("in the log and the graph: transductive, not held out", False),
    "vendor=facebook": ("validation: settings were chosen on it", False),
    "vendor=fluent": ("test: never in log, graph or any choice", True),
    "split=val": ("validation: settings were chosen on it", False),
    "split=test": ("test: never in log, graph or any choice", True),
}
INTRO = """Every model has the same encoder, seeds and (unless its name says otherwise) number of
encoder passes; one thing changes at a time. The log is simulated, openly and seeded, over real
images and real keywords; training sees (query, image, clicked) only.

Recall@k: a query drawing finds an image of the same instance among the k nearest gallery images.
Triplets: the same instance is nearer than another one of the same group."""


def compare(
    dataset: Path, trained: Sequence[Trained], config: EvaluateConfig, command: str
) -> Report:
    """Evaluate every run and put the models side by side.

    Args:
        dataset: Dataset folder whose images are judged and whose graph is described.
        trained: Finished runs by model.
        config: Gallery, query sets (the last is the test set), labels.
        command: What made the report.
    """
    images, store = open_images(dataset)
    graph = open_graph(dataset / "graph")
    test = config.queries[-1]
    models, first, counts = [], dict[str, Score](), dict[str, dict[str, int]]()
    sets: ImageSets | None = None
    for model in trained:
        results = []
        for run in model.runs:
            run_config, _, cost = read_run(run)
            encoder, shown = load_encoder(run)
            sets = sets or ImageSets(images, store, config, shown)
            scores = sets.scores(encoder)
            results.append(run_result(cost, run_config.train.seed, scores, test))
            first.setdefault(model.variant.name, scores[test])
            counts = {where: s.counts for where, s in scores.items()}
        models.append(
            Model(name=model.variant.name, runs=results, description=model.variant.description)
        )
    assert sets is not None
    compared = [n for n in (BASELINE, "edge term", FEATURED) if n in first]
    return Report(
        title="graphrise demo: what an image similarity graph from clicks adds",
        intro=INTRO,
        models=models,
        query_sets=[_query_set(where, counts[where]) for where in config.queries],
        test_set=test,
        main_metric="recall@1",
        baseline=BASELINE,
        featured=FEATURED,
        curve_set=config.queries[-2],
        graph_statistics=graph_statistics(graph, images, config.label),
        degree_counts=np.bincount(np.diff(graph.rowptr)).tolist(),
        retrieval_grid=sets.grid({n: first[n] for n in compared}, test),
        retrieval_note="Queries evenly spaced over the test set, not picked; models of seed 0.",
        command=command,
        versions=versions(),
        settings={
            "graph": graph.info["config"],
            "runs": {m.variant.name: to_dict(m.variant.config) for m in trained},
        },
    )


def _query_set(where: str, counts: dict[str, int]) -> QuerySet:
    note, held_out = NOTES.get(where, ("", True))
    return QuerySet(name=where, note=note, held_out=held_out, counts=counts)


def graph_statistics(graph: Graph, images: ImageTable, label: str) -> dict[str, int | float | str]:
    """What the graph looks like; the share of right edges reads labels that training never sees."""
    degree = np.diff(graph.rowptr)
    counts = graph.info["counts"]
    found: dict[str, int | float | str] = {
        "impressions": counts["impressions_rows"],
        "clicks": counts["clicks"],
        "images": graph.num_nodes,
        "edges": graph.num_edges // 2,
        "mean neighbours": float(degree.mean()),
        "images without a neighbour": int((degree == 0).sum()),
    }
    for source, labels in sorted(graph.labels.items()):
        found[f"labelled images ({source})"] = int((labels.counts > 0).sum())
        found[f"labels ({source})"] = len(graph.vocabulary[source])
    truth = dict(zip(images.ids, images.column(label), strict=True))
    instance = np.array([str(truth[i]) for i in graph.image_ids])
    row = np.repeat(np.arange(graph.num_nodes), degree)
    right = instance[row] == instance[np.asarray(graph.col)]
    if right.size:
        weight = np.asarray(graph.weight, dtype=np.float64)
        found["edges that join one instance"] = f"{right.mean():.1%}"
        found["the same by weight"] = f"{(right * weight).sum() / weight.sum():.1%}"
    return found
