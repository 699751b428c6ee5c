"""One worker process: takes runs, trains and scores them, until none is left."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from graphrise.config import ImageConfig
from graphrise.errors import DataError, GraphriseError, Stopped
from graphrise.evaluate.run import ImageSets
from graphrise.evaluate.score import Score
from graphrise.graph.store import open_graph
from graphrise.images.dataset import open_images
from graphrise.nn.encoder import Encoder, load_encoder
from graphrise.study.plan import PlannedRun
from graphrise.study.storage import Trials
from graphrise.train.folder import RunResult, finished, forget_peak, read_settings, versions
from graphrise.train.run import train
from graphrise.train.stop import StopSignals

_WAIT = 1.0
"""Seconds between two looks at a study whose last runs are others'."""


def work(connection: Connection, out: Path, name: str, runs: Sequence[PlannedRun]) -> None:
    """Body of a worker process.

    It tells the connection: `("start", run)`, `("progress", fraction)`, `("end", error)`. SIGTERM,
    or the end of the process that started it, lets it write a checkpoint and leave.

    Args:
        connection: To the process that started it.
        out: Study folder.
        name: Of the study.
        runs: Runs that it may take, the first that waits first.
    """
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C in a terminal reaches the process that started this one, which tells
    threading.Thread(target=_follow_parent, daemon=True).start()
    stop = StopSignals()
    stop.listen()
    worker = Worker(out, connection, stop)
    trials = Trials(out, name)
    while stop.received is None and not worker.stopped:
        with trials.taken(runs) as run:
            if run is not None:
                worker.one(trials, run)
                continue
        states = trials.tries()
        if all(states[r.name, r.seed].state in ("finished", "failed") for r in runs):
            break
        time.sleep(_WAIT)


def _follow_parent() -> None:
    """When the parent was killed, ask this process to stop as the parent would have."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        while True:  # one may come just as a run ends by itself and the next begins
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(_WAIT)


class Worker:
    """Trains and scores one run after the other; decoded query sets are kept for the next one.

    Attributes:
        stopped: Whether a run was asked to stop.
    """

    def __init__(
        self,
        out: Path,
        connection: Connection | None = None,
        stop: StopSignals | None = None,
    ) -> None:
        """Work for a study.

        Args:
            out: Study folder.
            connection: Where progress goes; None: nowhere.
            stop: What hears signals while no run trains.
        """
        self._out, self._connection, self._stop = out, connection, stop
        self._threads = torch.get_num_threads()
        self._sets: tuple[str, ImageSets] | None = None
        self.stopped = False

    def one(self, trials: Trials, run: PlannedRun) -> None:
        """Train and score a run that was taken, and let the study know how it ended."""
        self._tell("start", (run.name, run.seed))
        error = ""
        try:
            result = self.result(run)
        except (Stopped, KeyboardInterrupt):
            self.stopped = True
            trials.interrupt(run)
        except GraphriseError as failure:
            error = str(failure)
        except Exception:
            error = traceback.format_exc()
        else:
            metrics = result["metrics"][run.validation or run.test]
            trials.finish(run, metrics["recall@1"], result)
        if error:
            self._forget(run)
            trials.fail(run, error)
        self._tell("end", error)

    def result(self, run: PlannedRun) -> dict[str, Any]:
        """Train a run, from its last checkpoint on if it was interrupted, and score it.

        Returns:
            `result_of`.

        Raises:
            GraphriseError: It cannot be done, or a signal ended it (`Stopped`).
        """
        # A run's own train.threads would stay for the next one, and sums depend on them.
        torch.set_num_threads(run.config.train.threads or self._threads)
        folder = run.folder(self._out)
        gc.collect()  # cycles hold the pictures of the run before
        forget_peak()
        trained = self._trained(run, folder)
        scores = self._image_sets(run).scores(load_encoder(folder)[0])
        written = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return result_of(trained, scores, written.get("spread_seconds"))

    def _trained(self, run: PlannedRun, folder: Path) -> RunResult:
        dataset, graph = run.source.dataset(self._out), run.source.graph_folder(self._out)
        resume = _begun(folder)
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)  # of a process killed at its first file
        where = run.validation

        def probe(encoder: Encoder) -> dict[str, float]:
            assert where is not None
            scores = self._image_sets(run).scores(encoder, queries=(where,))
            return {"recall@1": scores[where].metrics["recall@1"]}

        return train(
            dataset,
            open_graph(graph),
            folder,
            run.config,
            display=self._display,
            probe=None if where is None else probe,
            resume=resume,
            graph_folder=graph,
        )

    def _display(self, fraction: float, state: str) -> None:
        self._tell("progress", fraction)
        if self._stop is not None and self._stop.received is not None:
            signal.raise_signal(signal.SIGTERM)  # it came before training listened: once more

    def _image_sets(self, run: PlannedRun) -> ImageSets:
        images = run.config.images
        shown = ImageConfig(size=images.size, crop_pct=images.crop_pct)
        dataset = run.source.dataset(self._out)
        name = repr((dataset, run.config.evaluate, shown))
        if self._sets is None or self._sets[0] != name:
            self._sets = None  # its memory goes first
            sets = ImageSets(*open_images(dataset), run.config.evaluate, shown)
            self._sets = (name, sets)
        return self._sets[1]

    def _forget(self, run: PlannedRun) -> None:
        """Let the next try begin anew: what failed may be in the checkpoint."""
        folder = run.folder(self._out)
        if not finished(folder):
            shutil.rmtree(folder / "checkpoint", ignore_errors=True)

    def _tell(self, what: str, value: Any) -> None:
        if self._connection is not None:
            try:
                self._connection.send((what, value))
            except OSError:  # nobody listens any more: `_follow_parent` sees to that
                self._connection = None


def _begun(folder: Path) -> bool:
    """Whether training got as far as the folder's settings, which follow from its name."""
    try:
        read_settings(folder)
    except DataError:
        return False
    return True


def result_of(
    trained: RunResult, scores: Mapping[str, Score], spread_seconds: float | None
) -> dict[str, Any]:
    """What the study keeps of a run, as JSON takes it.

    Args:
        trained: What training gave.
        scores: By query set.
        spread_seconds: Of spreading labels before it; None: not known.

    Returns:
        `metrics` and `counts` by query set, `passes`, `seconds`, `spread_seconds`, `peak_mib` (of
        this run; without Linux of the worker so far), `curve`, `notes`, `versions`.
    """
    return {
        "metrics": {where: dict(score.metrics) for where, score in scores.items()},
        "counts": {where: dict(score.counts) for where, score in scores.items()},
        "passes": trained.passes,
        "seconds": trained.seconds,
        "spread_seconds": spread_seconds,
        "peak_mib": trained.peak_mib,
        "curve": list(trained.curve),
        "notes": list(trained.notes),
        "versions": versions(),
    }
