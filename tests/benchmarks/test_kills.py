"""Case `kills`: what counts as unharmed, how a study is killed, and a study that is."""

import random
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import kills
from benchmarks.kills import Kill
from benchmarks.kills_blow import ALL, BLOWS, WORKER, below, strike
from benchmarks.rows import write_jsonl
from graphrise.study.plan import plan
from graphrise.study.spec import spec_of

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
ONE, OTHER = ("a", 0), ("b", 0)
SAME = {ONE: [(0.5,)], OTHER: [(0.25,)]}


def ended(**tries):
    """Finished runs, by the number of the try."""
    return {(name, 0): (number, 7) for name, number in tries.items()}


def test_unharmed_runs():
    killed = [
        Kill(BLOWS[0], 1.0, {}, {}),
        Kill(BLOWS[1], 1.0, ended(a=0), ended(a=0)),
    ]
    assert kills.unharmed(SAME, SAME, killed, ended(a=0, b=4)) == [ONE, OTHER]
    assert kills.unharmed(SAME, SAME, [], ended(a=0, b=4)) == [ONE, OTHER]


@pytest.mark.parametrize(
    ("numbers", "states"),
    [
        pytest.param({ONE: [(0.5001,)]}, [ended(a=0)], id="another number"),
        pytest.param({}, [ended(a=0)], id="no numbers"),
        pytest.param(SAME, [ended(a=0), ended(a=1)], id="trained twice"),
        pytest.param(SAME, [ended(a=0), {}, ended(a=0)], id="lost for a while"),
        pytest.param(SAME, [ended(a=0), {}], id="lost"),
        pytest.param(SAME, [{}], id="never finished"),
    ],
)
def test_harmed_runs(numbers, states):
    killed = [Kill(BLOWS[0], 1.0, state, state) for state in states[:-1]]
    assert kills.unharmed({ONE: SAME[ONE]}, numbers, killed, states[-1]) == []


def test_numbers_are_all_but_times(tmp_path):
    def write(out, seconds, loss=2.0):
        out.mkdir()
        scores = {"run": ["a"], "seed": [0], "query_set": ["split=val"], "value": [0.5]}
        probes = {"run": ["a"], "seed": [0], "passes": [8.0], "seconds": [seconds], "loss": [loss]}
        pq.write_table(pa.table(scores), out / "runs.parquet")
        pq.write_table(pa.table(probes), out / "curves.parquet")
        return kills.numbers(out)

    one = write(tmp_path / "one", 1.0)
    assert one == write(tmp_path / "slower", 2.0)
    assert one != write(tmp_path / "other", 1.0, loss=2.0000001)


def test_the_study_has_all_that_has_a_state():
    runs = plan(spec_of({**kills.STUDY, "set": {**kills.STUDY["set"], "train.passes": 500}}))
    assert len(runs) == 8
    configs = [run.config for run in runs]
    assert {config.train.passes for config in configs} == {500}
    assert any(config.labels.spread for config in configs)
    assert {"encoder", "bank"} <= {c.edges.embeddings for c in configs if c.edges.used}
    assert any(config.head.kind == "sampled" for config in configs)
    assert all(config.encoder.kwargs["drop_rate"] > 0 for config in configs)


@pytest.fixture
def parent():
    """A process with two more below it, the first of them by a name like a worker's."""
    child = "import time; time.sleep(60)"
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "for name in ('spawn_main', 'other'):\n"
        f"    subprocess.Popen([sys.executable, '-c', {child!r}, name])\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 30
    while len(below(process.pid)) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    yield process
    strike(process, ALL, random.Random(0))
    process.wait()


def gone(process):
    """Whether it has ended, its parent being told or not."""
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@linux
@pytest.mark.parametrize("what", BLOWS)
def test_what_is_killed(parent, what):
    one, other = below(parent.pid)
    strike(parent, what, random.Random(0))
    until, state = time.monotonic() + 30, None
    expected = {WORKER: (False, True, False), ALL: (True, True, True)}
    wanted = expected.get(what, (True, False, False))
    while time.monotonic() < until:
        state = (parent.poll() is not None, gone(one), gone(other))
        if state == wanted:
            break
        time.sleep(0.01)
    assert state == wanted
    if what not in expected:
        for pid in (one, other):
            subprocess.run(["kill", "-9", str(pid)], check=True)


@linux
@pytest.mark.slow
def test_a_killed_study_goes_on(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    pytest.importorskip("optuna")
    monkeypatch.setitem(kills.STUDY, "runs", kills.STUDY["runs"][1:2])
    monkeypatch.setitem(kills.STUDY, "seeds", 4)
    rows = kills.run(tmp_path, 2, 300, 1)
    assert [row.variant.split(":")[0] for row in rows[:2]] == ["kill 1", "kill 2"]
    good, seconds = rows[-2:]
    assert good.values == good.baseline_values == [4]
    assert seconds.values[0] > 0
    write_jsonl(rows, tmp_path / "rows.jsonl")
