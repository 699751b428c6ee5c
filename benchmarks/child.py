"""Work in a process of its own, whose peak memory is the work's; or why there was no such process.

A child that the machine cannot hold is an answer too: it says so in words.
"""

from __future__ import annotations

import ctypes
import json
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Missing:
    """Why there is no figure.

    Attributes:
        why: A few words.
    """

    why: str


def answer(module: str, settings: dict[str, Any], need_gib: float) -> dict[str, Any] | Missing:
    """What `python -m module SETTINGS` says in the last line it prints, a JSON object.

    Args:
        module: Name; it prints `{"missing": why}` where an allocation fails.
        settings: Given to it as JSON.
        need_gib: Memory it will take; it is not started where less is available.

    Raises:
        CalledProcessError: It failed, and not for memory.
    """
    free = available_gib()
    if free is not None and need_gib > free:
        return Missing(f"needs {need_gib:.1f} GiB, {free:.1f} GiB available")
    command = [sys.executable, "-m", module, json.dumps(settings)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == -signal.SIGKILL:
        return Missing(f"killed, it needs {need_gib:.1f} GiB")
    done.check_returncode()
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Missing(found["missing"]) if "missing" in found else found


def reason(error: BaseException) -> str:
    """An error's kind and the beginning of what it says, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]


def available_gib() -> float | None:
    """Memory that a new process can have without swapping; None where the system does not say."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    found = re.search(r"MemAvailable:\s+(\d+)", meminfo.read_text())
    return int(found[1]) / 2**20 if found else None


def first_to_go() -> None:
    """Where memory runs out, let the system take this process and no other."""
    own = Path("/proc/self/oom_score_adj")
    if own.is_file():
        own.write_text("1000")


def own_peak_mib() -> float:
    """Largest resident memory of this process since it began, in MiB."""
    status = Path("/proc/self/status")
    # Not ru_maxrss, which starts at the parent's, where there is another.
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.is_file() else None
    if found:
        return int(found[1]) / 2**10
    # Here, since it brings Lightning with it.
    from graphrise.train.folder import peak_mib

    return peak_mib()


def forget_peak() -> float:
    """Resident memory of this process now, in MiB; `own_peak_mib` counts from here on.

    What the allocator keeps of freed memory is given back first, so that it counts again when it is
    used again. Where the system cannot forget a peak, it goes on counting from the process's start.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
    forget = Path("/proc/self/clear_refs")
    if forget.is_file():
        forget.write_text("5")
    return own_peak_mib()
