"""Node classification by a run's label head, in the form that OGB's Evaluator takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from graphrise.errors import ConfigError, DataError, GraphriseError
from graphrise.evaluate.embed import embed
from graphrise.graph.store import open_graph
from graphrise.images.dataset import open_images
from graphrise.images.readers import reader_of
from graphrise.nn.encoder import load_encoder
from graphrise.train.folder import read_run, read_settings
from graphrise.train.saved_head import load_head

_BLOCK = 8192


@torch.inference_mode()
def classified(
    run: Path, where: str, *, dataset: Path | None = None, label: str = "label"
) -> dict[str, np.ndarray]:
    """True and predicted classes of some images; predicted is the label of the largest logit.

    Args:
        run: Finished run folder, trained on labels `given`.
        where: `column=value`, which images.
        dataset: Dataset folder; None: the one the run was trained on.
        label: Column of images.parquet with the true class; where it is null an image is left out.

    Returns:
        `y_true` and `y_pred`, int64 `[N, 1]`: OGB's class numbers, which the labels' names are.

    Raises:
        DataError: The run is not finished, its graph, head or an image cannot be read, no image of
            the set has a class, or a class is no whole number.
        ConfigError: The run was trained on other labels.
    """
    config, trained_on, _ = read_run(run)
    if config.labels.source != "given":
        raise ConfigError(
            f"{run}: was trained on labels {config.labels.source!r}; classes are `given`"
        )
    graph = open_graph(read_settings(run)[2])
    images, store = open_images(dataset or trained_on)
    column = images.column(label)
    rows = np.array([r for r in images.select(where) if column[r] is not None], dtype=np.int64)
    if rows.size == 0:
        raise DataError(f"{images.folder / 'images.parquet'}: no image with {where} has a {label}")
    encoder, shown = load_encoder(run)
    head = load_head(run, config, graph)
    vectors = embed(encoder, reader_of(store, rows, shown.canvas, cache_mib=0), shown)
    parts = torch.from_numpy(vectors).split(_BLOCK)
    top = torch.cat([head.top_labels(part, 1)[1] for part in parts]).numpy()
    names = _numbers(list(graph.vocabulary["given"]))
    return {"y_true": _numbers([column[r] for r in rows])[:, None], "y_pred": names[top]}


def accuracy(found: Mapping[str, np.ndarray]) -> float:
    """Share of images whose predicted class is the true one: OGB's `acc` of one task."""
    return float((found["y_true"] == found["y_pred"]).mean())


def ogb_score(name: str, found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The measure of a data set by OGB's own Evaluator.

    Args:
        name: Such as ogbn-arxiv.
        found: Of `classified`.

    Returns:
        As the Evaluator says it: `acc`.

    Raises:
        GraphriseError: ogb is not installed.
        ConfigError: It has no such data set.
    """
    try:
        from ogb.nodeproppred import Evaluator  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise GraphriseError("OGB's Evaluator needs ogb: pip install graphrise[ogb]") from error
    try:
        evaluator = Evaluator(name)
    except ValueError as error:
        raise ConfigError(f"OGB has no node classification set {name!r}") from error
    return evaluator.eval(dict(found))


def _numbers(names: list[str]) -> np.ndarray:
    try:
        return np.array([int(name) for name in names], dtype=np.int64)
    except ValueError as error:
        raise DataError(f"classes of OGB are whole numbers ({error})") from error
