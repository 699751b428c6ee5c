"""Trials of a study: taken once, found again after a kill, retried and kept."""

import multiprocessing
import os
import signal
import sys
import time

import pytest

from graphrise.errors import ConfigError, GraphriseError
from graphrise.study.locks import JournalLock
from graphrise.study.plan import plan
from graphrise.study.storage import Trials

pytest.importorskip("optuna", reason="pip install graphrise[study]")


# Python from 3.12 on warns of any fork with threads; these processes do nothing with them.
FORKS = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def runs(spec):
    return plan(spec())


@pytest.fixture
def trials(tmp_path, runs):
    found = Trials(tmp_path, "small")
    found.enqueue(runs, 1)
    return found


def states(trials):
    return {name: one.state for name, one in trials.tries().items()}


def hold(out, runs, taken):
    """Take a run in another process, and wait with it in hand."""
    with Trials(out, "small").taken(runs) as run:
        taken.put(None if run is None else run.slug)
        time.sleep(60)


@pytest.fixture
def holder(tmp_path, runs):
    """Processes that each take a run and wait; gives (process, what it took)."""
    context = multiprocessing.get_context("fork")
    taken, started = context.Queue(), []

    def start():
        process = context.Process(target=hold, args=(tmp_path, runs, taken))
        process.start()
        started.append(process)
        return process, taken.get(timeout=60)

    yield start
    for process in started:
        process.kill()
        process.join()


def test_runs_wait_in_their_order_and_are_finished(trials, runs, result):
    order = []
    for place in range(len(runs) + 1):
        with trials.taken(runs) as run:
            if run is None:
                break
            order.append(run)
            assert states(trials)[run.name, run.seed] == "running"
            trials.finish(run, 0.5, result(test=place / 10))
    assert order == runs
    assert set(states(trials).values()) == {"finished"}
    kept = [trials.tries()[r.name, r.seed] for r in runs]
    assert [k.result["metrics"]["split=query"]["recall@1"] for k in kept] == [0, 0.1, 0.2, 0.3]
    assert {k.tries for k in kept} == {1}


def test_another_process_reads_the_same(trials, runs, result, tmp_path):
    with trials.taken(runs) as run:
        trials.finish(run, 0.5, result(test=1 / 3))
    again = Trials(tmp_path, "small")
    again.enqueue(runs, 1)
    assert again.tries() == trials.tries()
    assert len(again.tries()) == len(runs)
    assert again.tries()[run.name, run.seed].result == result(test=1 / 3)


@FORKS
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_processes_take_different_runs(trials, runs, holder):
    names = [holder()[1] for _ in range(4)]
    assert sorted(names) == sorted(r.slug for r in runs)
    assert set(states(trials).values()) == {"running"}
    assert trials.reap(runs) == 0  # all of them live
    assert holder()[1] is None


@FORKS
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_a_killed_process_leaves_its_run_to_the_others(trials, runs, holder):
    process, name = holder()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    (run,) = [r for r in runs if r.slug == name]
    assert states(trials)[run.name, run.seed] == "running"
    assert trials.reap(runs, mine=[(run.name, run.seed)]) == 0
    assert trials.reap(runs) == 1
    last = trials.tries()[run.name, run.seed]
    # No failure of the run's own.
    assert (last.state, last.tries, last.left) == ("waiting", 0, 1)
    assert trials.reap(runs) == 0


def fail(trials, runs, error):
    with trials.taken(runs) as run:
        trials.fail(run, error)
        return run


def test_a_failed_run_is_tried_again_and_then_kept(trials, runs):
    first = fail(trials, runs[:1], "once")
    assert trials.tries()[first.name, first.seed].state == "waiting"
    fail(trials, runs[:1], "twice")
    last = trials.tries()[first.name, first.seed]
    assert (last.state, last.tries, last.error) == ("failed", 2, "twice")
    with trials.taken(runs[:1]) as run:
        assert run is None
    # Another call of the study: as many retries as it grants.
    trials.enqueue(runs, 0)
    assert trials.tries()[first.name, first.seed].state == "failed"
    trials.enqueue(runs, 1)
    last = trials.tries()[first.name, first.seed]
    assert (last.state, last.tries, last.left) == ("waiting", 2, 0)


def test_an_interrupted_run_waits_again(trials, runs):
    with trials.taken(runs) as run:
        trials.interrupt(run)
    last = trials.tries()[run.name, run.seed]
    assert (last.state, last.tries, last.left, last.error) == ("waiting", 0, 1, "")


def test_a_dead_workers_run_has_failed(trials, runs):
    with trials.taken(runs):
        pass  # as a process leaves it that ends
    trials.died(runs[0], "code -9")
    last = trials.tries()[runs[0].name, runs[0].seed]
    assert (last.state, last.tries, last.left) == ("waiting", 1, 0)
    trials.died(runs[0], "code -9")  # it does not run: nothing to say
    assert trials.tries()[runs[0].name, runs[0].seed] == last


def test_runs_and_seeds_may_be_added_and_not_changed(trials, spec, values, tmp_path):
    more = spec(axes={"labels.spread": [False, True], }, seeds=3)  # fmt: skip
    trials.enqueue(plan(more), 1)
    assert len(trials.tries()) == 6
    changed = plan(spec(set={**values()["set"], "train.lr": 0.5}))
    with pytest.raises(ConfigError, match="'spread=false', seed 0, is in this study with other"):
        trials.enqueue(changed, 1)
    assert len(trials.tries()) == 6
    with pytest.raises(ConfigError, match="is the folder of study small"):
        Trials(tmp_path, "other")


def test_a_line_cut_off_by_a_kill_is_mended(trials, runs, result, tmp_path):
    with open(tmp_path / "study.log", "ab") as journal:
        journal.write(b'{"op_code":8,"tri')
    again = Trials(tmp_path, "small")
    with again.taken(runs) as run:
        assert run is not None
        again.finish(run, 0.5, result())
    assert states(Trials(tmp_path, "small")) == states(again)
    assert states(again)[run.name, run.seed] == "finished"


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"", b""), (b"a\n", b"a\n"), (b"a\nb", b"a\n"), (b"b", b""), (b"a\nb\nccc", b"a\nb\n")],
)
def test_whole_lines_stay(tmp_path, before, after):
    file = tmp_path / "journal"
    file.write_bytes(before)
    lock = JournalLock(file)
    lock.acquire()
    lock.release()
    assert file.read_bytes() == after


def test_without_optuna(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(GraphriseError, match=r"pip install graphrise\[study\]"):
        Trials(tmp_path, "small")
