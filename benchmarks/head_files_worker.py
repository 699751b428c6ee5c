"""Part of case `head`: a label table to files and back, in the process that this is.

`python -m benchmarks.head_files_worker SETTINGS` prints seconds and peak memory as JSON.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from benchmarks import head_worker
from benchmarks.child import first_to_go, own_peak_mib
from graphrise.nn.heads import LabelTable, load_table, open_table, save_table
from graphrise.nn.rowwise import RowwiseAdagrad

_BLOCK = 1 << 26
"""Bytes that the bare copy writes and reads at a time, as `save_table` and `load_table` do."""
_SHOWN = 10_000
"""Rows from label 0 on, the most frequent, that must come back as they were saved."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one process does.

    Attributes:
        task: "save" makes, trains and saves a table; "load" and "open" train on what was saved.
        folder: The saved table.
        dtype: "float32" or "bfloat16".
        labels: C.
        dim: D.
        batch: Images of the one training step.
        negatives: Labels drawn in it.
    """

    task: Literal["save", "load", "open"]
    folder: str
    dtype: str
    labels: int
    dim: int
    batch: int
    negatives: int


def measure(work: Work) -> dict[str, Any]:
    """Do it.

    Returns:
        "seconds" of saving, loading or opening, "bare" (of a plain copy of as many bytes to or from
        the same disk; of opening there is none, NaN), "shown" (digest of some saved rows) and
        "peak_mib" of the process.
    """
    folder = Path(work.folder)
    if work.task == "save":
        table = LabelTable(work.labels, work.dim, dtype=getattr(torch, work.dtype))
        _train(table, work)
        bare = _timed(lambda: _bare_write(folder.with_name("bare"), table))
        # What is still to be written would slow down what is timed next.
        folder.with_name("bare").unlink()
        os.sync()
        seconds = _timed(lambda: save_table(table, folder))
        os.sync()
        return _found(seconds, bare, _shown(table))
    bare = math.nan
    if work.task == "load":
        _forget(folder)
        bare = _timed(lambda: _bare_read(folder))
    _forget(folder)
    start = time.perf_counter()
    table = load_table(folder) if work.task == "load" else open_table(folder)
    seconds = time.perf_counter() - start
    shown = _shown(table)
    _train(table, work)
    return _found(seconds, bare, shown)


def _found(seconds: float, bare: float, shown: str) -> dict[str, Any]:
    return {"seconds": seconds, "bare": bare, "shown": shown, "peak_mib": own_peak_mib()}


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _train(table: LabelTable, work: Work) -> None:
    """One training step, so that sums are not all 0 and peak memory is that of training."""
    ways = [(work.dtype, work.labels)]
    of_step = head_worker.Work(
        ways=ways, dim=work.dim, batch=work.batch, negatives=work.negatives, steps=1
    )
    batch = head_worker.make_batch(work.labels, of_step, torch.Generator().manual_seed(0))
    optimizer = RowwiseAdagrad([table], lr=0.1)
    loss = head_worker.training_step(table, optimizer, work.labels, work.negatives)(batch)
    if not math.isfinite(loss) or not bool(table.state[:_SHOWN].any()):
        raise ArithmeticError(f"{work.task}: loss {loss}, or rows that no step has changed")


def _shown(table: LabelTable) -> str:
    """A digest of the first rows."""
    digest = hashlib.sha256()
    for part in (table.weight, table.state):
        digest.update(part[:_SHOWN].contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _bare_write(file: Path, table: LabelTable) -> None:
    """The same numbers to one file, without a checksum; not waiting for the disk, as ours."""
    with file.open("wb") as out:
        for part in (table.weight, table.state):
            flat = part.flatten().view(torch.uint8).numpy()
            for first in range(0, flat.size, _BLOCK):
                out.write(flat[first : first + _BLOCK].data)


def _bare_read(folder: Path) -> None:
    """All bytes, each block to the memory of the one before."""
    block = np.empty(_BLOCK, dtype=np.uint8)
    for file in sorted(folder.glob("*.npy")):
        with file.open("rb", buffering=0) as source:
            while source.readinto(block.data):
                pass


def _forget(folder: Path) -> None:
    """Let the system drop from memory what it keeps of the files, where it can."""
    if not hasattr(os, "posix_fadvise"):
        return
    for file in folder.iterdir():
        with file.open("rb") as source:
            os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main(settings: str) -> None:
    """Print the figures, or that an allocation failed."""
    first_to_go()
    head_worker.report(lambda: measure(Work(**json.loads(settings))))


if __name__ == "__main__":
    main(sys.argv[1])
