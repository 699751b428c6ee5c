"""Trainings in processes of their own: results, failures, and killed workers."""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from graphrise.demo import pool
from graphrise.demo.pool import Job, train_all
from graphrise.errors import GraphriseError
from graphrise.train.folder import read_run


def job_of(make, dataset, run, name="one", **stages):
    return Job(name, dataset, dataset / "graph", run, make.small_run(**stages), "split=query")


@pytest.mark.slow
def test_trains_all_side_by_side(make, finished, tmp_path):
    dataset, _ = finished
    jobs = [
        job_of(make, dataset, tmp_path / str(seed), f"seed {seed}", train={"seed": seed})
        for seed in range(2)
    ]
    train_all(jobs, workers=2)
    for seed in range(2):
        config, _, result = read_run(tmp_path / str(seed))
        assert config.train.seed == seed
        assert "recall@1" in result.curve[-1]


@pytest.mark.slow
def test_a_failing_job_says_which_and_why(make, finished, tmp_path):
    dataset, _ = finished
    good = job_of(make, dataset, tmp_path / "good", "good")
    bad = job_of(make, tmp_path / "nowhere", tmp_path / "bad", "bad")
    with pytest.raises(GraphriseError, match=r"bad: .*nowhere: no such dataset folder"):
        train_all([bad, good], workers=1)
    assert not (tmp_path / "good").exists()
    assert multiprocessing.active_children() == []


def kill_first_child():
    for _ in range(600):
        children = multiprocessing.active_children()
        if children:
            os.kill(children[0].pid or 0, signal.SIGKILL)
            return
        time.sleep(0.05)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX")
def test_a_killed_worker_is_an_error(make, finished, tmp_path):
    killer = threading.Thread(target=kill_first_child)
    killer.start()
    job = job_of(make, finished[0], tmp_path / "r", "doomed")
    with pytest.raises(GraphriseError, match=r"doomed: its process ended with code -9"):
        train_all([job], workers=1)
    killer.join()
    assert multiprocessing.active_children() == []


def test_no_job():
    train_all([], workers=4)
    assert multiprocessing.active_children() == []


class Queue(list):
    def put(self, event):
        self.append(event)


def test_a_worker_reports_success_and_failure(make, finished, tmp_path, monkeypatch):
    dataset, _ = finished
    events = Queue()
    pool._work(job_of(make, dataset, tmp_path / "r"), events)
    assert events[-1] == ("one", None, "")
    assert events[-2][1] == 1
    assert read_run(tmp_path / "r")[2].passes >= 24
    events.clear()
    pool._work(job_of(make, tmp_path / "nowhere", tmp_path / "s"), events)
    (event,) = events
    assert event[:2] == ("one", None)
    assert event[2].startswith("one: ")
    assert "no such dataset folder" in event[2]
    events.clear()

    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("graphrise.evaluate.run.probe_of", broken)
    pool._work(job_of(make, dataset, tmp_path / "t"), events)
    assert "RuntimeError: a bug" in events[0][2]
