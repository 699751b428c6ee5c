"""The study's memory: one Optuna trial for each try of a run, in a journal that all may write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from graphrise.errors import ConfigError, GraphriseError
from graphrise.study.locks import JournalLock, if_free, one_at_a_time
from graphrise.study.plan import PlannedRun

State = Literal["waiting", "running", "finished", "failed"]
INTERRUPTED = "interrupted"
"""The error of a try whose process ended, or was asked to stop, before the run did."""


@dataclass(frozen=True)
class Try:
    """The last try of one run.

    Attributes:
        number: Of its trial.
        state: How far it is.
        key: The run's, when it was planned.
        tries: Tries so far that ended by themselves, this one included.
        left: Tries that may follow a failure.
        error: Why it failed; empty otherwise.
        result: What `work.result_of` gives, of a finished run; empty otherwise.
    """

    number: int
    state: State
    key: str
    tries: int
    left: int
    error: str
    result: Mapping[str, Any]


class Trials:
    """Trials of a study. Any number of processes may hold one over the same folder.

    A process that works on a run has the lock of that run: one that is RUNNING whose lock is free
    belongs to a process that ended. Where a file system has no locks, a single call of the study
    at a time is all that is safe.
    """

    def __init__(self, out: Path, name: str) -> None:
        """Open the study of a folder, or start it.

        Args:
            out: Study folder.
            name: Of the study.

        Raises:
            GraphriseError: Optuna is not installed.
            ConfigError: The folder is of another study.
        """
        try:
            import optuna
        except ImportError as error:
            raise GraphriseError("a study needs Optuna: pip install graphrise[study]") from error
        self._locks = out / "locks"
        self._states = optuna.trial.TrialState
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with one_at_a_time(self._locks / "study"):
            self._storage = optuna.storages.JournalStorage(_backend(out / "study.log"))
            held = [study.study_name for study in self._storage.get_all_studies()]
            if held and held != [name]:
                raise ConfigError(f"{out}: is the folder of study {held[0]}; choose another --out")
            self._study = optuna.create_study(
                storage=self._storage, study_name=name, direction="maximize", load_if_exists=True
            )

    def tries(self) -> dict[tuple[str, int], Try]:
        """The last try of every run that was ever planned, by its name and seed."""
        names: dict[Any, State] = {
            self._states.WAITING: "waiting",
            self._states.RUNNING: "running",
            self._states.COMPLETE: "finished",
            self._states.FAIL: "failed",
        }
        found = {}
        for trial in self._study.get_trials(deepcopy=False):
            attrs = trial.user_attrs
            if "run" in attrs and trial.state in names:  # not what other tools may have added
                found[attrs["run"], attrs["seed"]] = Try(
                    trial.number,
                    names[trial.state],
                    attrs["key"],
                    attrs["tries"],
                    attrs["left"],
                    attrs.get("error", ""),
                    attrs.get("result", {}),
                )
        return found

    def check(self, runs: Sequence[PlannedRun]) -> None:
        """See whether runs that were planned before are still the same.

        Raises:
            ConfigError: One is not.
        """
        known = self.tries()
        for run in runs:
            before = known.get((run.name, run.seed))
            if before is not None and before.key != run.key:
                raise ConfigError(
                    f"run {run.name!r}, seed {run.seed}, is in this study with other settings or "
                    "data; give the changed run another name, or the study another --out"
                )

    def enqueue(self, runs: Sequence[PlannedRun], retries: int) -> None:
        """Add what is missing; give failed runs `retries` more tries.

        Raises:
            ConfigError: A run was planned with other settings before.
        """
        with one_at_a_time(self._locks / "study"):
            self.check(runs)
            known = self.tries()
            for run in runs:
                before = known.get((run.name, run.seed))
                if before is None:
                    self._add(run.name, run.seed, run.key, 0, retries)
                elif before.state == "failed" and retries > 0:
                    self._add(run.name, run.seed, run.key, before.tries, retries - 1)

    def reap(self, runs: Sequence[PlannedRun], mine: Sequence[tuple[str, int]] = ()) -> int:
        """Let runs wait again whose process ended without a word.

        Args:
            runs: Where to look.
            mine: Runs of this call's own workers, to be left alone.

        Returns:
            How many there were.
        """
        tries, found = self.tries(), 0
        for run in runs:
            name = (run.name, run.seed)
            if name in mine or tries[name].state != "running":
                continue
            with if_free(self._locks / run.slug) as free:
                if free and self._is(run, "running"):
                    self.interrupt(run)
                    found += 1
        return found

    def died(self, run: PlannedRun, error: str) -> None:
        """Keep that a run failed whose process ended in the middle of it, if nobody did yet."""
        with if_free(self._locks / run.slug) as free:
            if free and self._is(run, "running"):
                self.fail(run, error)

    @contextmanager
    def taken(self, runs: Sequence[PlannedRun]) -> Iterator[PlannedRun | None]:
        """Take the first run that waits, and keep it from all other processes until the end.

        None if there is none. Whoever takes it calls `finish`, `fail` or `interrupt`.
        """
        tries = self.tries()
        for run in runs:
            last = tries.get((run.name, run.seed))
            if last is None or last.state != "waiting":
                continue
            with if_free(self._locks / run.slug) as free:
                if free and self._is(run, "waiting") and self._start(run):
                    yield run
                    return
        yield None

    def finish(self, run: PlannedRun, value: float, result: Mapping[str, Any]) -> None:
        """Keep what a run scored; `value` is what Optuna's own tools show."""
        trial = self._trial(run)
        self._storage.set_trial_user_attr(trial, "result", dict(result))
        self._storage.set_trial_user_attr(trial, "tries", self._last(run).tries + 1)
        self._storage.set_trial_state_values(trial, self._states.COMPLETE, [value])

    def fail(self, run: PlannedRun, error: str) -> None:
        """Keep why a run failed, and let it be tried again if it may."""
        last, trial = self._last(run), self._trial(run)
        self._storage.set_trial_user_attr(trial, "error", error)
        self._storage.set_trial_user_attr(trial, "tries", last.tries + 1)
        self._storage.set_trial_state_values(trial, self._states.FAIL)
        if last.left > 0:
            self._add(run.name, run.seed, last.key, last.tries + 1, last.left - 1)

    def interrupt(self, run: PlannedRun) -> None:
        """Let a run wait again whose process ended or was asked to stop: no failure of its own."""
        last, trial = self._last(run), self._trial(run)
        # First the new one: a process that is killed between the two loses no run.
        self._add(run.name, run.seed, last.key, last.tries, last.left)
        self._storage.set_trial_user_attr(trial, "error", INTERRUPTED)
        self._storage.set_trial_state_values(trial, self._states.FAIL)

    def _add(self, run: str, seed: int, key: str, tries: int, left: int) -> None:
        attrs = {"run": run, "seed": seed, "key": key, "tries": tries, "left": left}
        self._study.enqueue_trial({}, user_attrs=attrs)

    def _last(self, run: PlannedRun) -> Try:
        return self.tries()[run.name, run.seed]

    def _is(self, run: PlannedRun, state: State) -> bool:
        return self._last(run).state == state

    def _trial(self, run: PlannedRun) -> int:
        """Optuna's id of the last try."""
        study = self._storage.get_study_id_from_name(self._study.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study, self._last(run).number)

    def _start(self, run: PlannedRun) -> bool:
        """False if another process was faster."""
        return self._storage.set_trial_state_values(self._trial(run), self._states.RUNNING)


def _backend(journal: Path) -> Any:
    from optuna.storages.journal import JournalFileBackend

    try:
        import fcntl  # noqa: F401
    except ImportError:  # Windows
        return JournalFileBackend(str(journal))
    return JournalFileBackend(str(journal), lock_obj=JournalLock(journal))  # type: ignore[arg-type]
