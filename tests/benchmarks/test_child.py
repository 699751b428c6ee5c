"""A process of its own: what it says, what it took, and why it is missing."""

import subprocess

import pytest

from benchmarks import child


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Makes a module that a child can run."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(text):
        (tmp_path / "made_module.py").write_text(text)
        return "made_module"

    return write


def test_last_line_is_the_answer(module):
    name = module("import sys\nprint('a word')\nprint(sys.argv[1])")
    assert child.answer(name, {"a": [1, 2.5]}, 0) == {"a": [1, 2.5]}


def test_it_may_say_itself_that_it_had_no_memory(module):
    name = module('print(\'{"missing": "no memory"}\')')
    assert child.answer(name, {}, 0) == child.Missing("no memory")


def test_killed(module):
    name = module("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert child.answer(name, {}, 0.25) == child.Missing("killed, it needs 0.2 GiB")


def test_not_started_where_it_does_not_fit(module, monkeypatch, tmp_path):
    monkeypatch.setattr(child, "available_gib", lambda: 2.0)
    name = module(f"open({str(tmp_path / 'started')!r}, 'w')\nprint('{{}}')")
    assert child.answer(name, {}, 2.1) == child.Missing("needs 2.1 GiB, 2.0 GiB available")
    assert not (tmp_path / "started").exists()
    assert child.answer(name, {}, 1.9) == {}
    assert (tmp_path / "started").exists()


def test_another_failure_is_an_error(module):
    name = module("raise SystemExit(3)")
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        child.answer(name, {}, 0)


def test_peak_is_the_childs_own(tmp_path, monkeypatch):
    held = bytearray(400 << 20)
    text = (
        "import json\nfrom benchmarks.child import own_peak_mib\n"
        "a = own_peak_mib()\nb = bytes([1]) * (64 << 20)\n"
        "print(json.dumps({'peaks': [a, own_peak_mib()]}))"
    )
    (tmp_path / "made_module.py").write_text(text)
    root = str(child.Path(child.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    found = child.answer("made_module", {}, 0)
    assert isinstance(found, dict)
    before, after = found["peaks"]
    assert 5 < before < len(held) >> 20
    assert 60 < after - before < 80
