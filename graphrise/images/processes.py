"""Jobs shared out to processes that end with their parent."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from graphrise.errors import DataError, GraphriseError


def run_jobs(act: Callable[[Any], None], jobs: Iterable[Any], workers: int) -> Iterator[None]:
    """Do every job; yields once a finished job.

    A failure, or Ctrl-C, ends all processes at once.

    Args:
        act: Importable function; its argument is pickled.
        jobs: Arguments, taken when a process is free and not kept.
        workers: Processes; 1 works in this one.

    Raises:
        DataError: A job's.
        OSError: A job's.
        GraphriseError: A process ended by itself, or a job failed otherwise.
    """
    if workers == 1:
        for job in jobs:
            act(job)
            del job  # a job may be large: none stays while the next is made
            yield
        return
    waiting = iter(jobs)
    running: dict[Connection, BaseProcess] = {}
    try:
        for job in islice(waiting, workers):
            pipe, process = _start(act)
            running[pipe] = process
            _send(pipe, process, job)
            del job
        while running:
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                _receive(pipe, running[pipe])
                yield
                job = next(waiting, None)
                if job is None:
                    pipe.close()
                    running.pop(pipe).join()
                else:
                    _send(pipe, running[pipe], job)
                del job
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.join()


def _start(act: Callable[[Any], None]) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(act, theirs), daemon=True)
    with _without_ctrl_c():
        process.start()
    theirs.close()
    return ours, process


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes started here never see Ctrl-C, which goes to the whole group; this one will."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _send(pipe: Connection, process: BaseProcess, job: Any) -> None:
    try:
        # Not `send`, whose protocol makes one more copy of a job's buffers.
        pipe.send_bytes(pickle.dumps(job, pickle.HIGHEST_PROTOCOL))
    except OSError:
        raise _ended(process) from None


def _receive(pipe: Connection, process: BaseProcess) -> None:
    try:
        kind, text = pipe.recv()
    except (EOFError, OSError):
        raise _ended(process) from None
    if kind is not None:
        raise kind(text)


def _ended(process: BaseProcess) -> GraphriseError:
    process.join()
    return GraphriseError(
        f"a worker process ended with code {process.exitcode} (out of memory?); "
        "run the same command again to continue, with fewer --workers"
    )


def _serve(act: Callable[[Any], None], pipe: Connection) -> None:
    """Body of a process: job after job until the parent closes the pipe or is gone."""
    try:
        while True:
            job = pipe.recv()
            try:
                act(job)
                answer = None, ""
            except DataError as error:
                answer = DataError, str(error)
            except OSError as error:
                answer = OSError, str(error)
            except Exception:
                answer = GraphriseError, traceback.format_exc()
            pipe.send(answer)
    except (EOFError, OSError, KeyboardInterrupt):
        pass
