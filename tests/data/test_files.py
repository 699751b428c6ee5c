"""Whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from graphrise.data.files import whole_file, whole_folder
from graphrise.errors import DataError


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def fail():
    raise RuntimeError("half way")


def broken_file(target):
    with whole_file(target) as temporary:
        temporary.write_text("half")
        fail()


def broken_folder(target):
    with whole_folder(target, overwrite=True) as temporary:
        (temporary / "b").touch()
        fail()


def test_a_file_appears_whole(tmp_path):
    target = tmp_path / "new" / "file"
    with whole_file(target) as temporary:
        temporary.write_text("one")
        assert not target.exists()
    assert target.read_text() == "one"
    with pytest.raises(RuntimeError, match="half way"):
        broken_file(target)
    assert target.read_text() == "one"
    assert names(target.parent) == ["file"]


def test_a_folder_appears_whole(tmp_path):
    target = tmp_path / "new" / "folder"
    with whole_folder(target, overwrite=False) as temporary:
        (temporary / "a").touch()
        assert not target.exists()
    assert names(target) == ["a"]
    refused = pytest.raises(DataError, match="exists already; give --overwrite")
    with refused, whole_folder(target, overwrite=False):
        pytest.fail("entered")
    with pytest.raises(RuntimeError, match="half way"):
        broken_folder(target)
    assert names(target) == ["a"]
    with whole_folder(target, overwrite=True) as temporary:
        (temporary / "b").touch()
    assert names(target) == ["b"]
    assert names(target.parent) == ["folder"]


def test_an_empty_folder_is_filled(tmp_path):
    with whole_folder(tmp_path / "d", overwrite=False):
        pass
    with whole_folder(tmp_path / "d", overwrite=False, mark="m") as temporary:
        (temporary / "m").touch()
    assert names(tmp_path / "d") == ["m"]


def test_only_a_marked_folder_is_overwritten(tmp_path):
    target = tmp_path / "photos"
    target.mkdir()
    (target / "holiday.jpg").touch()
    refused = pytest.raises(DataError, match=r"photos: holds no graph\.json, so it is not over")
    with refused, whole_folder(target, overwrite=True, mark="graph.json"):
        pytest.fail("entered")
    assert names(target) == ["holiday.jpg"]
    assert names(tmp_path) == ["photos"]
    (target / "graph.json").touch()
    with whole_folder(target, overwrite=True, mark="graph.json"):
        pass
    assert names(target) == []


def test_a_file_is_in_the_way(tmp_path):
    (tmp_path / "f").touch()
    with pytest.raises(DataError, match="is a file"), whole_folder(tmp_path / "f", overwrite=True):
        pytest.fail("entered")


KILLED = """
import os, signal, sys
from pathlib import Path
from graphrise.data.files import whole_folder
with whole_folder(Path(sys.argv[1]), overwrite=True) as folder:
    (folder / "half").touch()
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL) if sys.argv[2] == "die" else sys.stdin.read()
"""


def start(target, what):
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, str(target), what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    target = tmp_path / "folder"
    with whole_folder(target, overwrite=False) as temporary:
        (temporary / "a").touch()
    with start(target, "die") as process:
        left = Path(process.communicate()[0].strip())
    assert process.returncode == -9
    assert names(left) == ["half"]
    assert names(target) == ["a"]
    with whole_folder(target, overwrite=True) as temporary:
        assert not left.exists()
        (temporary / "b").touch()
    assert names(tmp_path) == ["folder"]
    assert names(target) == ["b"]


def test_a_living_process_keeps_its_folder(tmp_path):
    target = tmp_path / "folder"
    with start(target, "live") as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        with whole_folder(target, overwrite=False) as temporary:
            (temporary / "a").touch()
        assert names(theirs) == ["half"]
        process.communicate("")
    assert process.returncode == 0
    assert names(target) == ["half"]


def test_a_folder_moved_aside_by_a_killed_process_is_put_back(tmp_path):
    target, aside = tmp_path / "folder", tmp_path / ".folder.0123abcd.old"
    aside.mkdir()
    (aside / "a").touch()
    with pytest.raises(RuntimeError, match="half way"):
        broken_folder(target)
    assert names(target) == ["a"]
