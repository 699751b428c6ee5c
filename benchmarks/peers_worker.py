"""Part of case `peers`: one way to train and what comes of it, in the process that this is.

`python -m benchmarks.peers_worker SETTINGS` prints recall, speed, time and peak memory as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.child import first_to_go, own_peak_mib
from benchmarks.nsl_batches import built
from benchmarks.peers_loop import NotFinite, fit
from benchmarks.peers_losses import LIBRARY, Peer
from benchmarks.peers_parts import ours, theirs
from graphrise.config import RunConfig, from_dict
from graphrise.evaluate.run import ImageSets
from graphrise.graph.store import open_graph
from graphrise.images.dataset import open_images


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one process does.

    Attributes:
        dataset: Dataset folder with its graph.
        config: The run, as `to_dict` gives it.
        peer: The fields of `Peer`; None: graphrise's own loss.
    """

    dataset: str
    config: dict[str, Any]
    peer: dict[str, Any] | None = None


def measure(work: Work) -> dict[str, Any]:
    """Train and judge.

    Returns:
        "recall@1" (by query set), "rate" (images a second), "seconds", "passes", and "peak_mib" of
        the process up to the end of training.
    """
    dataset, config = Path(work.dataset), from_dict(RunConfig, work.config)
    torch.set_num_threads(config.train.threads or os.cpu_count() or 1)
    data, module = built(dataset, open_graph(dataset / "graph"), config)
    data.reader.read(torch.arange(len(data.reader)))  # decoded once, before the clock starts
    if work.peer is None:
        parts = ours(data, module, config)
    else:
        del module
        parts = theirs(data, Peer(**work.peer), config)
    with closing(parts.batches):  # type: ignore[type-var]
        fitted = fit(parts, config.train)
    peak = own_peak_mib()
    scores = ImageSets(*open_images(dataset), config.evaluate, config.images).scores(parts.encoder)
    return {
        "recall@1": {where: one.metrics["recall@1"] for where, one in scores.items()},
        "rate": fitted.rate,
        "seconds": fitted.seconds,
        "passes": fitted.passes,
        "peak_mib": peak,
    }


def main(settings: str) -> None:
    """Print the figures, or why there are none."""
    first_to_go()
    try:
        found = measure(Work(**json.loads(settings)))
    except ModuleNotFoundError as error:
        if error.name != LIBRARY.replace("-", "_"):
            raise
        found = {"missing": f"{LIBRARY} is not installed"}
    except NotFinite as error:
        found = {"missing": str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
