"""Whole or not at all: outputs are written under a temporary name and renamed."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphrise.errors import DataError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is renamed to `path`, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, overwrite: bool, mark: str | None = None) -> Iterator[Path]:
    """Give a temporary folder beside `path`; on success it takes the place of `path`.

    With `overwrite` an earlier `path` is moved aside first and removed last, so a reader sees the
    old folder or the new one. Only a folder that holds the file `mark` (written by the same
    function before) is overwritten: a wrong path must not cost the user a folder. What a killed
    process left behind is cleared away first, and an old folder that it had just moved aside is
    put back.

    Raises:
        DataError: `path` exists and `overwrite` is false or it lacks `mark`, or `path` is a file.
    """
    _clear_leftovers(path)
    if path.exists() and not path.is_dir():
        raise DataError(f"{path}: is a file, a folder is to be written there")
    if path.exists() and any(path.iterdir()):
        if not overwrite:
            raise DataError(f"{path}: exists already; give --overwrite to replace it")
        if mark is not None and not (path / mark).is_file():
            raise DataError(f"{path}: holds no {mark}, so it is not overwritten; choose another")
    path.parent.mkdir(parents=True, exist_ok=True)
    stamp = uuid.uuid4().hex[:8]
    temporary = path.with_name(f".{path.name}.{stamp}.tmp")
    aside = path.with_name(f".{path.name}.{stamp}.old")
    lock = _locked_folder(temporary)
    try:
        yield temporary
        if path.exists():
            os.replace(path, aside)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keep other processes that ask likewise from writing into a folder.

    The lock goes with the process, however it ends, and its child processes do not have it. Where
    there are no such locks (Windows, some network disks) nothing is kept.

    Raises:
        DataError: Another process has it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            os.close(descriptor)
            raise DataError(f"{folder}: another process is writing into it") from error
    try:
        yield
    finally:
        os.close(descriptor)


def _locked_folder(folder: Path) -> int | None:
    """Make `folder`, locked by this process as long as it lives."""
    # Locked before it has its name: nobody finds the folder without an owner.
    start = folder.with_suffix(".new")
    start.mkdir()
    lock = _lock(start)
    os.replace(start, folder)
    return lock


def _clear_leftovers(path: Path) -> None:
    for folder in path.parent.glob(f".{path.name}.????????.tmp"):
        lock = _lock(folder) if folder.is_dir() else None
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
    if not path.exists():
        for aside in sorted(path.parent.glob(f".{path.name}.????????.old")):
            os.replace(aside, path)
            break


def _lock(folder: Path) -> int | None:
    """Descriptor that locks the folder, None if another process does (or there are no locks)."""
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
