"""A made-up report: three models, three seeds, curves, a graph and a retrieval grid."""

import numpy as np
import pytest
from hypothesis import strategies as st

from graphrise.evaluate.grid import retrieval_grid
from graphrise.evaluate.report_data import Model, QuerySet, Report, RunResult
from graphrise.evaluate.triplets import recall_vs_margin
from graphrise.ops.knn import knn


def made_up_run(seed, share, passes=1000, seconds=50.0):
    rng = np.random.default_rng(seed)
    gaps = rng.normal(share, 0.2, 50).clip(0)
    return RunResult(
        seed=seed,
        encoder_passes=passes,
        seconds=seconds,
        metrics={"far": {"recall@1": share, "triplet accuracy": 0.9}, "near": {"recall@1": 0.8}},
        curve=[{"passes": 100 * step, "loss": 1 / step, "recall@1": share} for step in (1, 5, 10)],
        margin_curve=recall_vs_margin(np.zeros(50), gaps, np.linspace(0, 1, 5)),
    )


def made_up_models(shares):
    """Name -> shares of its seeds, as models."""
    return [
        Model(name=name, description=f"{name}, described", runs=[*map(made_up_run, range(9), seen)])
        for name, seen in shares.items()
    ]


@pytest.fixture
def models():
    return made_up_models(
        {"plain": [0.24, 0.25, 0.26], "graph": [0.40, 0.41, 0.42], "a <b> & c": [0.1, 0.2, 0.3]}
    )


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (8, 6, 3), dtype=np.uint8) for _ in range(5)]
    rows = np.array([[0, 1], [2, 3]])
    return retrieval_grid(images[:2], dict(enumerate(images)), {"plain": rows}, {"plain": rows < 2})


@pytest.fixture
def report(models, picture):
    return Report(
        title="made up",
        intro="First.\n\nSecond.",
        models=models,
        query_sets=[
            QuerySet(name="far", note="another vendor", counts={"queries scored": 1540}),
            QuerySet(name="near", note="in the graph: transductive", held_out=False),
        ],
        test_set="far",
        main_metric="recall@1",
        baseline="plain",
        featured="graph",
        graph_statistics={"edges": 24100, "label agreement": 0.41321},
        degree_counts=[3, 10, 5],
        retrieval_grid=picture,
        retrieval_note="Drawn at random.",
        command="graphrise demo --seeds 3",
        versions={"graphrise": "0.0.1"},
        settings={"train": {"epochs": 40}},
    )


@st.composite
def _search_case(draw):
    """(index of the whole gallery, gallery labels, query labels, leave one out), with ties."""
    same = draw(st.booleans())
    size = draw(st.integers(2, 12))
    gallery = np.array(draw(st.lists(st.integers(-1, 4), min_size=size, max_size=size)))
    queries = gallery
    if not same:
        queries = np.array(draw(st.lists(st.integers(-1, 5), min_size=1, max_size=6)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    # Few places on a grid: many distances are equal.
    places = rng.integers(0, 3, (size, 2)).astype(np.float32)
    asked = places if same else rng.integers(0, 3, (len(queries), 2)).astype(np.float32)
    return knn(asked, places, size, "l2", exclude_self=same)[1], gallery, queries, same


@pytest.fixture(scope="session")
def search_case():
    """Hypothesis strategy: (index [Q, all], gallery labels, query labels, leave one out)."""
    return _search_case()
