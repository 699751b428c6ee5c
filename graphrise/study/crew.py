"""The worker processes of one call: started, listened to, replaced, and stopped."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection as connections
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from rich.progress import Progress, TaskID

from graphrise.errors import GraphriseError, Stopped
from graphrise.study.environment import worker_environment
from graphrise.study.plan import PlannedRun
from graphrise.study.progress import progress_of, study_bar
from graphrise.study.storage import Trials
from graphrise.study.work import work
from graphrise.train.stop import StopSignals

_LOOK = 0.5
_REAP_EVERY = 10.0
"""Seconds between two looks, and between two looks for runs whose process ended elsewhere."""
_KILLED = 5
"""Workers that a signal may end while they have no run; more, and something is wrong."""


@dataclass
class _Member:
    """One worker, and the run that it told it works on."""

    process: BaseProcess
    connection: Connection
    run: tuple[str, int] | None = None
    fraction: float = 0.0


class Crew:
    """Works on a study until every run is finished or failed, or a signal comes."""

    def __init__(self, out: Path, name: str, trials: Trials, runs: Sequence[PlannedRun]) -> None:
        """Gather what workers need.

        Args:
            out: Study folder.
            name: Of the study.
            trials: Of the study.
            runs: To be done, all of them enqueued.
        """
        self._out, self._name, self._trials, self._runs = out, name, trials, runs
        self._by_name = {(r.name, r.seed): r for r in runs}
        self._members: list[_Member] = []
        self._killed = 0
        self._context = multiprocessing.get_context("spawn")

    def work(self, jobs: int) -> None:
        """Do all runs, `jobs` side by side.

        Raises:
            GraphriseError: A worker could not start.
            Stopped: SIGTERM came; the runs have written checkpoints.
            KeyboardInterrupt: Ctrl-C came; likewise, after the first at least.
        """
        stop = StopSignals()
        stop.listen()
        try:
            with worker_environment(), study_bar() as bar:
                task = bar.add_task(self._name, total=len(self._runs), state="starting")
                for _ in range(min(jobs, self._left())):
                    self._start()
                self._until_done(stop, bar, task)
        finally:
            stop.stop()
            for member in self._members:  # a second Ctrl-C, or an error of ours
                member.process.kill()
                member.process.join()
        if stop.received is not None and self._left():
            message = (
                f"{self._out}: stopped, {len(self._runs) - self._left()} of {len(self._runs)} runs "
                "are done; the same command goes on"
            )
            if stop.received == signal.SIGINT:
                raise KeyboardInterrupt(message)
            raise Stopped(message)

    def _until_done(self, stop: StopSignals, bar: Progress, task: TaskID) -> None:
        reaped = time.monotonic()
        while self._members:
            self._listen(bar)
            if stop.received is not None:
                for member in self._members:  # each time: one may just have begun another run
                    member.process.terminate()
            for member in [m for m in self._members if not m.process.is_alive()]:
                self._bury(member, bar, asked=stop.received is not None)
            if time.monotonic() - reaped >= _REAP_EVERY:
                self._trials.reap(self._runs, [m.run for m in self._members if m.run is not None])
                reaped = time.monotonic()
            fractions = {m.run: m.fraction for m in self._members if m.run is not None}
            done, state = progress_of(
                self._runs, self._trials.tries(), fractions, len(self._members)
            )
            bar.update(task, completed=done, state=state)

    def _left(self) -> int:
        tries = self._trials.tries()
        done = ("finished", "failed")
        return sum(tries[name].state not in done for name in self._by_name)

    def _start(self) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        arguments = (theirs, self._out, self._name, list(self._runs))
        # Not a daemon: those may have no loader workers.
        process = self._context.Process(target=work, args=arguments)
        process.start()
        theirs.close()
        self._members.append(_Member(process, ours))

    def _listen(self, bar: Progress) -> None:
        """Take in what workers tell, for a while."""
        until = time.monotonic() + _LOOK
        open_ones = {m.connection: m for m in self._members if not m.connection.closed}
        while open_ones and (left := until - time.monotonic()) > 0:
            for ready in connections.wait(list(open_ones), timeout=left):
                member = open_ones[ready]  # type: ignore[index]
                if not self._hear(member, bar):
                    del open_ones[member.connection]
        if not open_ones:
            time.sleep(max(0.0, until - time.monotonic()))

    def _hear(self, member: _Member, bar: Progress) -> bool:
        """Take in one message; False if there are no more."""
        try:
            what, value = member.connection.recv()
        except (EOFError, OSError):
            member.connection.close()
            return False
        if what == "start":
            member.run, member.fraction = value, 0.0
        elif what == "progress":
            member.fraction = value
        else:
            if value and member.run is not None:
                line = str(value).strip().splitlines()[-1]
                text = f"{member.run[0]}, seed {member.run[1]}: {line}"
                bar.console.print(text, markup=False, highlight=False)
            member.run = None
        return True

    def _bury(self, member: _Member, bar: Progress, *, asked: bool) -> None:
        """A worker that ended: by itself, or in the middle of a run, which then failed."""
        self._members.remove(member)
        member.process.join()
        while self._hear(member, bar):
            pass
        code = member.process.exitcode
        if code == 0 or asked:
            return
        if member.run is None:
            self._idle_ended(code)
            return
        error = f"its process ended with code {code} (out of memory?)"
        run = self._by_name[member.run]
        self._trials.died(run, error)
        bar.console.print(f"{run.name}, seed {run.seed}: {error}", markup=False, highlight=False)
        if self._left():
            self._start()

    def _idle_ended(self, code: int | None) -> None:
        """A worker that ended between two runs, or before its first: nothing is lost by that."""
        if not self._left():
            return
        # One that ends by itself would do so again; one that was killed perhaps not.
        self._killed += 1
        if code is None or code > 0 or self._killed > _KILLED:
            raise GraphriseError(f"a worker ended with code {code} while it had no run")
        self._start()
