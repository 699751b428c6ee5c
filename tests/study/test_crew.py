"""Workers that end without a run: killed ones are replaced, others end the study."""

import multiprocessing
from types import SimpleNamespace
from typing import Any

import pytest

from graphrise.errors import GraphriseError
from graphrise.study import crew as module
from graphrise.study.crew import Crew

KILLED, BROKEN = -9, 1


class Workers:
    """Stands for a study and for the processes that work on it, which end as they are told."""

    def __init__(self, codes):
        self.codes, self.state, self.started = list(codes), "waiting", 0

    # What a crew asks of the trials.
    def tries(self):
        result = {"seconds": 1.0, "passes": 0}
        return {("a", 0): SimpleNamespace(state=self.state, result=result, tries=1)}

    def reap(self, *_):
        return None

    # What it asks of multiprocessing.
    def Pipe(self, *, duplex):
        return multiprocessing.Pipe(duplex=duplex)

    def Process(self, **_):
        self.started += 1
        code = self.codes.pop(0)

        def start():
            if code == 0 or not self.codes:
                self.state = "finished"

        quiet: dict[str, Any] = dict.fromkeys(("join", "kill", "terminate"), lambda: None)
        return SimpleNamespace(start=start, exitcode=code, is_alive=lambda: False, **quiet)


def worked(monkeypatch, tmp_path, codes):
    monkeypatch.setattr(module, "_LOOK", 0.0)
    workers: Any = Workers(codes)
    crew = Crew(tmp_path, "study", workers, [SimpleNamespace(name="a", seed=0)])  # pyright: ignore
    crew._context = workers
    crew.work(1)
    return workers.started


def test_killed_workers_are_replaced(monkeypatch, tmp_path):
    assert worked(monkeypatch, tmp_path, [KILLED, KILLED, 0]) == 3


def test_one_that_is_killed_after_the_last_run_is_not_missed(monkeypatch, tmp_path):
    assert worked(monkeypatch, tmp_path, [KILLED]) == 1


@pytest.mark.parametrize("codes", [[BROKEN, 0], [KILLED] * 9])
def test_broken_ones_and_too_many_end_the_study(monkeypatch, tmp_path, codes):
    with pytest.raises(GraphriseError, match=f"code {codes[0]} while it had no run"):
        worked(monkeypatch, tmp_path, codes)
