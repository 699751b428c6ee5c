"""The ways that a study is killed: which signal to which of its processes (Linux)."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

WORKER = "SIGKILL to a worker"
ALL = "SIGKILL to all processes"
_TO_MAIN = {
    "SIGKILL to the main process": signal.SIGKILL,
    "SIGTERM to the main process": signal.SIGTERM,
    "SIGINT to the main process": signal.SIGINT,
}
BLOWS = (
    "SIGKILL to the main process",
    WORKER,
    ALL,
    "SIGTERM to the main process",
    "SIGINT to the main process",
)
"""By turns."""


def strike(process: subprocess.Popen[bytes], what: str, draw: random.Random) -> bool:
    """Kill a study, or a part of it.

    Args:
        process: Its main process.
        what: Of `BLOWS`. A worker is waited for, if there is none yet.
        draw: Which worker.

    Returns:
        False if it had ended before.
    """
    if process.poll() is not None:
        return False
    if what == ALL:
        for pid in [process.pid, *below(process.pid)]:
            _kill(pid, signal.SIGKILL)
        return True
    if what != WORKER:
        _kill(process.pid, _TO_MAIN[what])
        return True
    while process.poll() is None:
        workers = [pid for pid in below(process.pid) if "spawn_main" in _command(pid)]
        if workers:
            _kill(draw.choice(workers), signal.SIGKILL)
            return True
        time.sleep(0.02)
    return False


def below(process: int) -> list[int]:
    """Processes that a process started, and those that they started."""
    found = []
    with contextlib.suppress(OSError):  # it may end meanwhile
        for file in Path(f"/proc/{process}/task").glob("*/children"):
            for child in map(int, file.read_text().split()):
                found += [child, *below(child)]
    return found


def _command(process: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    return ""


def _kill(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)
