"""Part `files` of case `head`: a label table saved, loaded and opened, in processes of their own.

Tables have been trained a step before they are saved, and are trained one when they are back. Files
that are read have been dropped from memory before, where the system does that; what is written may
still be in memory when the clock stops, of ours and of the bare copy.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from benchmarks.child import Missing, answer
from benchmarks.head import OTHER_GIB, Found, Size, common_of, every, gib, peak_of
from benchmarks.head_files_worker import Work
from benchmarks.rows import Row

TASKS: dict[Literal["save", "load", "open"], tuple[str, str]] = {
    "save": ("saving", "bare write of as many bytes"),
    "load": ("loading", "bare read of as many bytes"),
    "open": ("opened", "loading"),
}
"""Peak memory of what, and what the time is held against."""
SPARE = 1.05
"""Of the table's size that must be free on the disk: headers, and that it does not get full."""


def run(out: Path, size: Size, repetitions: int) -> list[Row]:
    """Measure and give the rows.

    Args:
        out: Working folder, made if missing; what is written there is removed.
        size: What is run.
        repetitions: Tables of each dtype that are saved, loaded and opened.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for dtype in ("float32", "bfloat16"):
        found: dict[str, list[Found]] = {task: [] for task in TASKS}
        for _ in range(repetitions):
            for task, of_task in _there_and_back(out, size, dtype).items():
                found[task].append(of_task)
        rows += _rows(size, dtype, found)
    return rows


def _there_and_back(out: Path, size: Size, dtype: str) -> dict[str, Found]:
    """What each task says of one table."""
    with tempfile.TemporaryDirectory(dir=out) as folder:
        work = Work(
            task="save",
            folder=str(Path(folder).resolve() / "table"),
            dtype=dtype,
            labels=size.labels,
            dim=size.dim,
            batch=size.batch,
            negatives=size.negatives,
        )
        found = {work.task: _measured(work)}
        for task in ("load", "open"):
            # Of what could not be saved there is nothing to read.
            gone = isinstance(found["save"], Missing)
            found[task] = found["save"] if gone else _measured(dataclasses.replace(work, task=task))
    if len({of["shown"] for of in found.values() if not isinstance(of, Missing)}) > 1:
        raise ArithmeticError(f"{dtype}: rows came back otherwise than they were saved")
    return found


def _measured(work: Work) -> Found:
    """Of one new process; where there is none, say so."""
    held = gib([(work.dtype, work.labels)], work.dim)
    found = _disk(Path(work.folder).parent, SPARE * held) if work.task == "save" else None
    if found is None:
        need = OTHER_GIB + (0 if work.task == "open" else held)
        found = answer("benchmarks.head_files_worker", dataclasses.asdict(work), need)
    if isinstance(found, Missing):
        print(f"missing: {work.task}, {work.dtype}, {work.labels:,} labels ({found.why})")
    return found


def _disk(folder: Path, need_gib: float) -> Missing | None:
    """That there is too little of it, if so."""
    free = shutil.disk_usage(folder).free / 2**30
    if need_gib <= free:
        return None
    return Missing(f"needs {need_gib:.1f} GiB of disk, {free:.1f} GiB free")


def _rows(size: Size, dtype: str, found: dict[str, list[Found]]) -> list[Row]:
    """Of each task its seconds and its peak memory."""
    rows = []
    held = [gib([(dtype, size.labels)], size.dim) * 1024]
    loading = every(found["load"], lambda one: [one["seconds"]])
    for task, (doing, against) in TASKS.items():
        common = common_of(size, found[task], f"ours, {dtype}, {size.labels:,} labels")
        bare = loading if task == "open" else every(found[task], lambda one: [one["bare"]])
        seconds = every(found[task], lambda one: [one["seconds"]])
        rows.append(_row(common, task, seconds, "s", against, bare))
        peak = every(found[task], peak_of)
        computed = "weights and sums, computed"
        rows.append(_row(common, f"peak memory, {doing}", peak, "MiB", computed, held))
    return rows


def _row(
    common: dict[str, Any],
    metric: str,
    values: Sequence[float],
    unit: str,
    baseline: str,
    theirs: Sequence[float],
) -> Row:
    return Row(
        metric=metric,
        values=values,
        unit=unit,
        baseline=baseline,
        baseline_values=theirs,
        **common,
    )
