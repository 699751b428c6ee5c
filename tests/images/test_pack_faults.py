"""What a pack leaves behind when it is interrupted, killed, or out of disk."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from graphrise.cli import main
from graphrise.data.tables import read_images
from graphrise.errors import DataError, GraphriseError
from graphrise.images.pack import pack
from graphrise.images.processes import run_jobs
from graphrise.images.store import open_store

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and locks of POSIX")


@pytest.fixture
def many(make, pictures, tmp_path):
    """Three parts of pictures; a part takes a process about two seconds."""
    data = make.encoded(pictures.photo(500, 400), "PNG")
    count = 4096 * 3
    small = make.encoded(pictures.photo(9, 9), "PNG")
    images = pa.array([data if i % 16 == 0 else small for i in range(count)])
    columns = {"image_id": pa.array(range(count)), "split": pa.array(["x"] * count)}
    return make.save_tables(tmp_path / "many", pa.table({**columns, "image": images}))


def started(folder, *options):
    command = [sys.executable, "-m", "graphrise", "pack", str(folder), *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def children(process):
    """Ids of the worker processes, without Python's own helper."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path("/proc", name, "stat").read_text().rsplit(")", 1)[1].split()
                command = Path("/proc", name, "cmdline").read_text()
            except OSError:
                continue
            if int(stat[1]) == process.pid and "spawn_main" in command:
                found.append(int(name))
    return found


def names(folder):
    return sorted(file.name for file in folder.iterdir())


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")


@pytest.mark.slow
@needs_proc
def test_ctrl_c_ends_children_and_keeps_finished_parts(many):
    process = started(many, "--workers=2")
    packed = many / "packed"
    wait_for(lambda: list(packed.glob("part-*")))
    workers = children(process)
    assert workers
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines() == ["graphrise: interrupted"]
    assert not [pid for pid in workers if os.path.isdir(f"/proc/{pid}")]
    assert set(names(packed)) <= {"settings.json", *(f"part-0000{i}.arrow" for i in range(3))}
    kept = {file: file.stat().st_mtime_ns for file in packed.glob("part-*")}
    assert pack(many, workers=1).images == len(read_images(many))
    assert all(file.stat().st_mtime_ns == at for file, at in kept.items())


@pytest.mark.slow
@needs_proc
def test_a_killed_worker_is_one_error(many):
    process = started(many, "--workers=2")
    wait_for(lambda: list((many / "packed").glob(".part-*")) or children(process))
    wait_for(lambda: children(process))
    os.kill(children(process)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert len(err.splitlines()) == 1
    assert "a worker process ended with code -9" in err
    assert not [name for name in names(many / "packed") if name.startswith(".")]
    assert "pack.json" not in names(many / "packed")


@pytest.mark.slow
@needs_proc
def test_killed_itself_it_leaves_no_process_and_nothing_half_written(many):
    process = started(many, "--workers=2")
    packed = many / "packed"
    wait_for(lambda: list(packed.glob("part-*")))
    workers = children(process)
    process.kill()
    process.communicate()
    wait_for(lambda: not [pid for pid in workers if os.path.isdir(f"/proc/{pid}")])
    assert not (packed / "pack.json").exists()
    assert len(open_store(many, read_images(many)).read(0)) > 0
    pack(many, workers=1)
    store = open_store(many, read_images(many))
    assert store.source(0).endswith("part-00000.arrow")
    assert not [name for name in names(packed) if name.startswith(".")]


def test_only_one_packs_at_a_time(dataset):
    import fcntl

    (dataset / "packed").mkdir()
    holder = os.open(dataset / "packed", os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(DataError, match="packed: another process is packing into it"):
        pack(dataset, workers=1)
    os.close(holder)
    assert pack(dataset, workers=1).images == 15


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_error(dataset, tmp_path, capsys, workers, monkeypatch):
    import resource

    # The system refuses longer files; the signal that goes with it is ignored by Python.
    monkeypatch.setattr("graphrise.images.pack.PART_ROWS", 10)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, before[1]))
    try:
        code = main(["pack", str(dataset), f"--workers={workers}"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    err = capsys.readouterr().err.splitlines()
    assert code == 1
    assert len(err) == 1
    assert "part-0000" in err[0]
    assert "cannot be written" in err[0]
    assert "pack.json" not in names(dataset / "packed")
    assert not [name for name in names(dataset / "packed") if name.startswith(".")]
    assert pack(dataset, workers=1).images == 15


def exits(code):
    os._exit(code)


def fails(kind):
    raise kind("why")


def test_errors_come_back_as_they_are():
    for kind in (DataError, OSError):
        for workers in (1, 2):
            with pytest.raises(kind, match="why"):
                list(run_jobs(fails, [kind], workers))
    with pytest.raises(GraphriseError, match=r"Traceback[^$]*ZeroDivisionError: why"):
        list(run_jobs(fails, [ZeroDivisionError], 2))
    with pytest.raises(GraphriseError, match="ended with code 3"):
        list(run_jobs(exits, [3], 2))


def test_every_job_is_done_once():
    jobs = [np.int64(i) for i in range(7)]
    assert len(list(run_jobs(abs, jobs, 3))) == 7
    assert list(run_jobs(abs, [], 3)) == []
