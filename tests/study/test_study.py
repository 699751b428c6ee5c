"""Studies end to end: trained, killed, gone on with, failed and reported."""

import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from graphrise.cli import main
from graphrise.study.drive import study
from graphrise.study.plan import plan
from graphrise.study.storage import Trials
from graphrise.study.work import Worker

pytest.importorskip("optuna", reason="pip install graphrise[study]")


def run(*words):
    return main([str(w) for w in words])


def numbers(table):
    """Scores by run, seed, query set and metric."""
    keys = ("run", "seed", "query_set", "metric")
    return {tuple(row[k] for k in keys): row["value"] for row in pq.read_table(table).to_pylist()}


@pytest.fixture
def undisturbed(tmp_path):
    """The numbers of a study whose runs were trained one after the other in this process."""

    def made(spec):
        out = tmp_path / "undisturbed"
        worker, found = Worker(out), {}
        for one in plan(spec):
            one.source.make(out)
            result = worker.result(one)
            for where, metrics in result["metrics"].items():
                found |= {(one.name, one.seed, where, m): v for m, v in metrics.items()}
        return found

    return made


@pytest.mark.slow
def test_end_to_end(yaml_file, spec, undisturbed, tmp_path, capsys):
    out = tmp_path / "out"
    file = yaml_file(seeds=1)
    assert run("study", file, "--out", out, "--jobs", 1) == 0
    text = capsys.readouterr().out
    assert "| spread=false (baseline) |" in text
    assert text.strip() == (out / "table.md").read_text(encoding="utf-8").strip()
    found = numbers(out / "runs.parquet")
    assert found == undisturbed(spec(seeds=1))
    assert {k[2] for k in found} == {"split=val", "split=query"}
    curves = pq.read_table(out / "curves.parquet").to_pylist()
    assert {c["run"] for c in curves} == {"spread=false", "spread=true"}
    assert all(0 <= c["recall@1"] <= 1 for c in curves)
    costs = pq.read_table(out / "cost.parquet").to_pylist()
    assert all(c["passes"] >= 24 and c["seconds"] > 0 and c["peak_mib"] > 0 for c in costs)
    setup = {c["run"]: c["setup_seconds"] for c in costs}
    assert setup["spread=false"] == 0
    assert setup["spread=true"] > 0
    # Again: nothing is left to do, and the tables are the same.
    kept = [p.stat().st_mtime_ns for p in sorted((out / "runs").glob("*/run.json"))]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "All 2 trainings are finished." in page
    assert f"graphrise study {file} --out {out}" in page
    (out / "table.md").unlink()
    assert run("study", file, "--out", out) == 0
    assert "2 of 2 runs are done already" in capsys.readouterr().err
    assert run("study", file, "--out", out, "--report-only") == 0
    assert numbers(out / "runs.parquet") == found
    assert (out / "report.html").read_text(encoding="utf-8") == page
    assert [p.stat().st_mtime_ns for p in sorted((out / "runs").glob("*/run.json"))] == kept
    # Changed runs are refused, whatever is asked.
    changed = yaml_file(seeds=1, test="split=val", validation="split=query")
    assert run("study", changed, "--out", out, "--report-only") == 1
    assert "is in this study with other settings" in capsys.readouterr().err


def children(pid, command=""):
    psutil = pytest.importorskip("psutil")
    found = psutil.Process(pid).children(recursive=True)
    return [c.pid for c in found if command in " ".join(c.cmdline())]


def kill_all(process):
    """SIGKILL to a study and its workers, all at once."""
    for pid in [*children(process.pid), process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.wait()


def wait_for(process, what):
    for _ in range(1200):
        if what():
            return
        assert process.poll() is None
        time.sleep(0.05)
    raise AssertionError("nothing happened in a minute")


def started(file, out):
    """A study in a process of its own; what it says is in `out`.txt."""
    command = [sys.executable, "-m", "graphrise", "study", file, "--out", out, "--jobs", "1"]
    with open(out.with_suffix(".txt"), "w") as text:
        return subprocess.Popen([str(w) for w in command], stdout=text, stderr=text)


def last(out):
    """The last try of every run."""
    return Trials(out, "small").tries()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_a_killed_study_goes_on_and_its_numbers_are_the_same(
    yaml_file, spec, values, undisturbed, tmp_path
):
    longer = {**values()["set"], "train.passes": 300, "checkpoint.steps": 5}
    given = {"set": longer, "seeds": 1}
    file, out = yaml_file(**given), tmp_path / "out"
    process = started(file, out)
    wait_for(process, lambda: len(list(out.glob("runs/*/checkpoint"))) == 2)
    done = {p: p.read_bytes() for p in out.glob("runs/*/run.json")}
    assert done
    kill_all(process)
    # A worker alone: its run has failed, and another worker tries it again.
    name, before = next((n, t) for n, t in last(out).items() if t.state == "running")
    process = started(file, out)
    wait_for(
        process,
        lambda: (t := last(out)[name]).number > before.number and t.state == "running",
    )
    os.kill(children(process.pid, "spawn_main")[0], signal.SIGKILL)
    wait_for(process, lambda: (t := last(out)[name]).tries == 1 and t.state == "running")
    # And all of it as a polite system does it.
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert "the same command goes on" in out.with_suffix(".txt").read_text()
    study(spec(**given), out, jobs=1)
    assert numbers(out / "runs.parquet") == undisturbed(spec(**given))
    assert {p: p.read_bytes() for p in done} == done


@pytest.mark.slow
def test_failures_are_retried_kept_and_reported(yaml_file, tmp_path, capsys):
    out = tmp_path / "out"
    names = ["test_resnet", "no_such_net"]
    file = yaml_file(axes={"encoder.name": names}, baseline="name=test_resnet", seeds=1)
    assert run("study", file, "--out", out, "--jobs", 1) == 1
    error = capsys.readouterr().err
    assert "1 of 2 runs failed" in error
    assert "the same command tries them again" in error
    costs = {c["run"]: c for c in pq.read_table(out / "cost.parquet").to_pylist()}
    failed = costs["name=no_such_net"]
    assert (failed["state"], failed["tries"]) == ("failed", 2)
    assert failed["error"]
    assert "(failed: " in (out / "table.md").read_text(encoding="utf-8")


def test_the_dry_run_does_nothing(yaml_file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("study", yaml_file(), "--dry-run", "--only", "spread=true") == 0
    assert capsys.readouterr().out.splitlines() == [
        "spread=true  2 x 24 passes",
        "2 trainings, about 48 encoder passes; 1 graph",
    ]
    assert run("study", "spread", "--dry-run") == 0
    assert "spread, shuffled graph" in capsys.readouterr().out
    assert not list(tmp_path.glob("graphrise-study*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jobs", 0], "jobs must be at least 1"),
        (["--retries", -1], "retries must be at least 0"),
        (["--only", "nobody"], "no run nobody; there are spread=false; spread=true"),
        (["--report-only"], "holds no study"),
    ],
)
def test_what_the_command_refuses(yaml_file, tmp_path, capsys, words, message):
    assert run("study", yaml_file(), "--out", tmp_path / "out", *words) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_is_in_the_way(yaml_file, tmp_path, capsys):
    (tmp_path / "out").touch()
    assert run("study", yaml_file(), "--out", tmp_path / "out") == 1
    assert "is a file" in capsys.readouterr().err
