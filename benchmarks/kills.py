"""Case `kills`: a study that is killed again and again loses no finished run and changes no number.

Runs with all that has a state, two side by side. The study is done once undisturbed; then once more
in another folder, killed at random moments in each of the ways that studies end, and begun again
with the same command. Every number of every run is compared, and when and as which try it ended.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from benchmarks.kills_blow import BLOWS, WORKER, strike
from benchmarks.rows import Row
from graphrise.errors import GraphriseError
from graphrise.study.plan import PlannedRun, plan
from graphrise.study.spec import StudySpec, read_spec
from graphrise.study.storage import Trials

_JOBS = 2
_LOOK = 0.1
"""Seconds between two looks."""

Name = tuple[str, int]
"""Of a training: run and seed."""
Ended = dict[Name, tuple[int, int]]
"""Finished trainings: number of the try, and when training ended, in nanoseconds."""
Numbers = dict[Name, list[tuple[Any, ...]]]
"""All scores and probes of a training, times aside."""

STUDY: dict[str, Any] = {
    "name": "kills",
    "data": "digits",
    "set": {
        "edges.alpha": 0,
        "encoder.kwargs": {"drop_rate": 0.2},
        "train.accelerator": "cpu",
        "checkpoint.steps": 5,
    },
    "runs": [
        {"name": "cross-entropy"},
        {"name": "spread", "set": {"labels.spread": True}},
        {"name": "pairs", "set": {"edges.alpha": 1}},
        {
            "name": "bank, sampled head",
            "set": {
                "edges.alpha": 1,
                "edges.embeddings": "bank",
                "head.kind": "sampled",
                "head.num_negatives": 4,
            },
        },
    ],
    "seeds": 2,
}


@dataclass(frozen=True)
class Kill:
    """One kill.

    Attributes:
        what: Signal and process.
        after: Seconds since the study was begun again, or since a worker was killed.
        before: What was finished right before.
        then: What was finished when it went on.
    """

    what: str
    after: float
    before: Ended
    then: Ended


def run(out: Path, kills: int, passes: int, seed: int) -> list[Row]:
    """Do the study, and do it once more with kills.

    Args:
        out: Working folder.
        kills: How many.
        passes: Encoder passes of a run.
        seed: Of the moments.

    Raises:
        GraphriseError: A study failed that was not killed.
    """
    # Where this process ignores Ctrl-C, as in a script's background, the studies would too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = out / "kills"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file = folder / "study.yaml"
    given = {**STUDY, "set": {**STUDY["set"], "train.passes": passes}}
    file.write_text(yaml.safe_dump(given, sort_keys=False), encoding="utf-8")
    spec = read_spec(file)
    whole, killed = _Case(file, spec, folder / "whole"), _Case(file, spec, folder / "killed")
    begun, seconds = whole.undisturbed()
    # From the first import on, and through as much work as two runs side by side take.
    latest = begun + _JOBS * (seconds - begun) / len(whole.runs)
    start = time.perf_counter()
    found = killed.killed(kills, latest, random.Random(seed))
    again = time.perf_counter() - start
    good = unharmed(numbers(whole.out), numbers(killed.out), found, killed.ended())
    size = f"digits, {passes:,} passes a run, {len(found)} kills, seed {seed}"
    return _rows(size, found, len(whole.runs), len(good), (seconds, again))


def unharmed(whole: Numbers, killed: Numbers, kills: Sequence[Kill], ended: Ended) -> list[Name]:
    """Trainings that ended once and with the same numbers.

    Args:
        whole: Of the undisturbed study.
        killed: Of the other.
        kills: What was finished around each kill.
        ended: What is finished at the end.
    """
    seen = [*(around for kill in kills for around in (kill.before, kill.then)), ended]
    good = []
    for name, of in whole.items():
        states = [around.get(name) for around in seen]
        first = next((place for place, state in enumerate(states) if state is not None), None)
        once = first is not None and len(set(states[first:])) == 1
        if once and killed.get(name) == of:
            good.append(name)
    return good


def numbers(out: Path) -> Numbers:
    """Everything in `runs.parquet` and `curves.parquet` of a study folder, times aside."""
    found: Numbers = {}
    for file in ("runs.parquet", "curves.parquet"):
        for row in pq.read_table(out / file).to_pylist():
            name = (row.pop("run"), row.pop("seed"))
            row.pop("seconds", None)
            found.setdefault(name, []).append(tuple(row.items()))
    return found


class _Case:
    """A study in a folder, done by the command line."""

    def __init__(self, file: Path, spec: StudySpec, out: Path) -> None:
        self._file, self._name, self.out = file, spec.name, out
        self.runs: list[PlannedRun] = plan(spec)

    def undisturbed(self) -> tuple[float, float]:
        """Do it; seconds until the first run was begun, and all of them."""
        start = time.perf_counter()
        process = self._start(retries=0)
        while process.poll() is None and not any(self.out.glob("runs/*/config.yaml")):
            time.sleep(_LOOK)
        begun = time.perf_counter() - start
        self._finish(process)
        return begun, time.perf_counter() - start

    def killed(self, kills: int, latest: float, draw: random.Random) -> list[Kill]:
        """Do it with kills by turns, spread over its runs.

        Args:
            kills: How many.
            latest: Seconds that a kill comes at most after its share of the runs is finished.
            draw: Of the moments.
        """
        found: list[Kill] = []
        process, start = self._start(retries=kills), time.perf_counter()
        for number in range(kills):
            what, share = BLOWS[number % len(BLOWS)], number * len(self.runs) // (kills + 1)
            if not self._due(process, share, draw.uniform(0, latest)):
                break  # on a machine of uneven speed it may be done: nothing is left to be killed
            before, after = self.ended(), time.perf_counter() - start
            if not strike(process, what, draw):
                break
            if what != WORKER:
                process.wait()
            found.append(Kill(what, after, before, self.ended()))
            counts = f"{len(before)} finished before, {len(found[-1].then)} when it went on"
            print(f"{what} after {after:.1f} s: {counts}", flush=True)
            start = time.perf_counter()
            if what != WORKER:
                process = self._start(retries=kills)
        self._finish(process)
        return found

    def _due(self, process: subprocess.Popen[bytes], share: int, delay: float) -> bool:
        """Wait until so many runs are finished, then so many seconds, or until one run is left.

        Returns:
            False if the study ended before.
        """
        since = None
        while process.poll() is None:
            done, now = len(self.ended()), time.perf_counter()
            since = now if since is None and done >= share else since
            if since is not None and (now >= since + delay or done >= len(self.runs) - 1):
                return True
            time.sleep(_LOOK)
        return False

    def ended(self) -> Ended:
        """What is finished."""
        if not (self.out / "study.log").is_file():
            return {}
        tries = Trials(self.out, self._name).tries()
        return {
            name: (last.number, (run.folder(self.out) / "run.json").stat().st_mtime_ns)
            for run in self.runs
            if (last := tries.get(name := (run.name, run.seed))) and last.state == "finished"
        }

    def _start(self, retries: int) -> subprocess.Popen[bytes]:
        options = [f"--jobs={_JOBS}", f"--retries={retries}"]
        command = [sys.executable, "-m", "graphrise", "study", self._file, "--out", self.out]
        # Not a pipe: workers that outlive their parent for a while would keep it open.
        with open(self._log, "ab") as log:
            return subprocess.Popen(
                [*map(str, command), *options], stdout=log, stderr=log, start_new_session=True
            )

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        if process.wait():
            said = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise GraphriseError(f"kills: a study ended with {process.returncode}: {said}")

    @property
    def _log(self) -> Path:
        return self.out.with_suffix(".log")


def _rows(
    size: str, kills: Sequence[Kill], runs: int, good: int, seconds: tuple[float, float]
) -> list[Row]:
    """A row a kill, and two of all of them."""
    of_all: Mapping[str, Any] = {"case": "kills", "variant": "all kills", "size": size}
    whole, again = seconds
    each = [
        Row(
            case="kills",
            variant=f"kill {number}: {kill.what}",
            metric="runs finished when it went on",
            values=[len(kill.then)],
            unit="runs",
            baseline="runs of the study",
            baseline_values=[runs],
            size=f"after {kill.after:.1f} s, {len(kill.before)} runs finished before",
        )
        for number, kill in enumerate(kills, 1)
    ]
    return [
        *each,
        Row(
            metric="runs that ended once, all numbers the same",
            values=[good],
            unit="runs",
            baseline="runs of the study",
            baseline_values=[runs],
            **of_all,
        ),
        Row(
            metric="study with its starts",
            values=[again],
            unit="s",
            baseline="undisturbed",
            baseline_values=[whole],
            higher_is_better=False,
            **of_all,
        ),
    ]
