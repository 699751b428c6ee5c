"""Locks between the processes and machines that work on one study; they go with their process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from graphrise.data.files import sole_writer
from graphrise.errors import DataError


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other process is inside, then keep the others out; makes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(sole_writer(folder))
                break
            except DataError:
                time.sleep(0.1)
        yield


@contextmanager
def if_free(folder: Path) -> Iterator[bool]:
    """Take the lock of a folder if no other process has it, and say so; makes the folder.

    Not for a lock that this process has already: it would be lost.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(sole_writer(folder))
        except DataError:
            yield False
            return
        yield True


class JournalLock:
    """Lock of an Optuna journal, in the form that its `lock_obj` wants.

    Optuna's own locks are files that stay when their process is killed. With the lock in hand a
    line without an end is what a killed process left of one, and is cut off: Optuna would refuse
    the whole file for it.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock and mend the journal."""
        import fcntl

        name = self._journal.with_name(f".{self._journal.name}.lock")
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
            _cut_unfinished(self._journal)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let others in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _cut_unfinished(file: Path) -> None:
    """Cut off a last line that has no end."""
    with open(file, "r+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        if size == 0:
            return
        opened.seek(size - 1)
        if opened.read(1) == b"\n":
            return
        opened.seek(0)
        opened.truncate(opened.read().rfind(b"\n") + 1)
