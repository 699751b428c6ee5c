"""Several trainings side by side, one process each, with one progress bar each."""

from __future__ import annotations

import multiprocessing
import queue
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from graphrise.config import RunConfig
from graphrise.errors import GraphriseError
from graphrise.study.environment import worker_environment
from graphrise.train.progress import bars


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        name: Shown beside its bar.
        dataset: Dataset folder.
        graph: Graph folder.
        run: Run folder to write; a half-finished one is replaced.
        config: The run.
        probe: `column=value`: recall@1 of these queries while training.
    """

    name: str
    dataset: Path
    graph: Path
    run: Path
    config: RunConfig
    probe: str


def _work(job: Job, events: Any) -> None:
    """Body of a worker process: train, report progress, then success or why not."""
    try:
        from graphrise.evaluate.run import probe_of
        from graphrise.graph.store import open_graph
        from graphrise.train.run import train

        def display(fraction: float, state: str) -> None:
            events.put((job.name, fraction, state))

        probe = probe_of(job.dataset, job.config, job.probe)
        graph = open_graph(job.graph)
        train(job.dataset, graph, job.run, job.config, display=display, probe=probe, overwrite=True)
        events.put((job.name, None, ""))
    except GraphriseError as error:
        events.put((job.name, None, f"{job.name}: {error}"))
    except KeyboardInterrupt:
        pass
    except BaseException:
        events.put((job.name, None, f"{job.name}: {traceback.format_exc()}"))


def train_all(jobs: Sequence[Job], workers: int) -> None:
    """Train every job, at most `workers` at a time.

    A failure or Ctrl-C ends the others; finished run folders stay.

    Raises:
        GraphriseError: A training failed; says which and why.
    """
    context = multiprocessing.get_context("spawn")
    events: Any = context.Queue()
    waiting, running = list(reversed(jobs)), dict[str, BaseProcess]()
    progress = bars()
    width = max((len(j.name) for j in jobs), default=0)
    tasks = {j.name: progress.add_task(j.name.ljust(width), total=1.0, state="") for j in jobs}
    try:
        with worker_environment(), progress:
            while waiting or running:
                while waiting and len(running) < workers:
                    job = waiting.pop()
                    process = context.Process(target=_work, args=(job, events), daemon=True)
                    process.start()
                    progress.reset(tasks[job.name], state="starting")
                    running[job.name] = process
                try:
                    name, fraction, state = events.get(timeout=1.0)
                except queue.Empty:
                    _check_alive(running, silent=True)
                    continue
                _check_alive(running, silent=False)
                if fraction is not None:
                    progress.update(tasks[name], completed=fraction, state=state)
                elif state:
                    raise GraphriseError(state)
                else:
                    progress.update(tasks[name], completed=1.0)
                    progress.stop_task(tasks[name])
                    running.pop(name).join()
    finally:
        for process in running.values():
            process.terminate()
            process.join()


def _check_alive(running: dict[str, BaseProcess], *, silent: bool) -> None:
    """A worker that was killed cannot say so itself; nor one that left without a word.

    Code 0 counts only when the queue was `silent`: its last word may still be on the way.
    """
    for name, process in running.items():
        code = process.exitcode
        if code is not None and (code != 0 or silent):
            raise GraphriseError(f"{name}: its process ended with code {code} (out of memory?)")
