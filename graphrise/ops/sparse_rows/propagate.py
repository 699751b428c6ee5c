"""Sparse rows aggregated over a graph and sharpened, some steps, in bounded memory."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from graphrise.errors import ConfigError, DataError
from graphrise.ops.backend import Backend
from graphrise.ops.sparse_rows.results import InFiles, open_rows
from graphrise.ops.sparse_rows.rows import (
    INDICES,
    OP,
    WEIGHTS,
    SparseRows,
    check_rowptr,
    check_weights,
    fixed,
)
from graphrise.ops.sparse_rows.step import Progress, Step


def propagate_sparse(
    rowptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    rows: SparseRows,
    *,
    steps: int = 1,
    own: float = 1.0,
    power: float = 2.0,
    top: int = 8,
    clamp: SparseRows | None = None,
    folder: Path | None = None,
    backend: Backend | None = None,
    progress: Progress | None = None,
) -> SparseRows:
    """Mix every node's labels with its neighbours', sharpen and cut, `steps` times.

    A step is `q'_v ~ top((own q_v + sum_u w_vu q_u)^power)`, of sum 1. Sums are float64 and in the
    order of the entries: results do not depend on the number of threads. The graph is worked
    through block by block; of arrays that are views of mapped files what is done with is given
    back. A row of many neighbours takes memory by its distinct labels.

    Args:
        rowptr: int32 or int64 `[N + 1]`, row pointers of the graph.
        col: int32 or int64 `[E]`, neighbours.
        weight: float32 or float64 `[E]`, finite, at least 0.
        rows: Labels of the N nodes. Any order within a row, and a label may come twice.
        steps: T; 0 gives `rows` as they are.
        own: Weight of a node's own row, finite, at least 0; 0 takes the neighbours' alone.
        power: Exponent, above 0; above 1 sharpens. Taken of shares of the row's maximum, so that
            none underflows to an empty row.
        top: Labels kept a node, at least 1; among equals the lowest ids.
        clamp: Rows of the N nodes, of the dtypes of `rows`, that are put back after every step,
            whole, where they are not empty (label propagation); None: none.
        folder: Where results are written, as files that are mapped; it must not exist, and does
            not until all is done. None: memory.
        backend: "numba", or "torch", the plain one, in numpy; None: the first that is installed.
        progress: Called after every block with nodes done and nodes in all, over all steps.

    Returns:
        New rows, labels rising within a row, dtypes of `rows`. Where all that is in reach weighs
        nothing, or nothing is, the row is empty.

    Raises:
        ConfigError: An argument is out of range or of another dtype, or rows and graph differ in
            their number of nodes.
        DataError: Row pointers, neighbours or weights are no graph's, or `folder` exists.
    """
    _check_settings(steps, own, power, top)
    rowptr, col = fixed("rowptr", rowptr, INDICES), fixed("col", col, INDICES)
    weight = fixed("weight", weight, WEIGHTS)
    check_rowptr("rowptr", rowptr, {"col": col.size, "weight": weight.size})
    rows = _checked("rows", rows, rowptr.size - 1)
    if clamp is not None:
        clamp = _checked("clamp", clamp, rowptr.size - 1)
        _check_alike(clamp, rows)
    step = Step(rowptr, col, weight, float(own), float(power), int(top), clamp, backend)
    if folder is None:
        for number in range(steps):
            rows = step.in_memory(rows, _of_all(progress, number, steps))
        return rows
    return _in_files(step, rows, steps, folder, progress)


def _in_files(
    step: Step, rows: SparseRows, steps: int, folder: Path, progress: Progress | None
) -> SparseRows:
    with _new_folder(folder) as temporary:
        if steps == 0:
            with InFiles(temporary / "0", rows) as files:
                files.add(np.diff(rows.rowptr), rows.index, rows.weight)
        for number in range(steps):
            rows = step.in_files(rows, temporary / str(number), _of_all(progress, number, steps))
            if number:
                shutil.rmtree(temporary / str(number - 1))
        del rows  # maps of files that get their name now
        os.replace(temporary / str(max(0, steps - 1)), folder)
    return open_rows(folder)


def _check_settings(steps: int, own: float, power: float, top: int) -> None:
    if steps < 0:
        raise ConfigError(f"{OP}: steps must be at least 0, got {steps}")
    if not 0 <= own < math.inf:
        raise ConfigError(f"{OP}: own must be finite and at least 0, got {own}")
    if not power > 0 or top < 1:
        raise ConfigError(f"{OP}: power must be above 0 and top at least 1, got {power}, {top}")


def _checked(name: str, rows: SparseRows, nodes: int) -> SparseRows:
    rowptr = fixed(f"{name}.rowptr", rows.rowptr, INDICES)
    index = fixed(f"{name}.index", rows.index, INDICES)
    weight = fixed(f"{name}.weight", rows.weight, WEIGHTS)
    check_rowptr(
        f"{name}.rowptr", rowptr, {f"{name}.index": index.size, f"{name}.weight": weight.size}
    )
    if rowptr.size - 1 != nodes:
        what = "labels" if name == "rows" else name
        raise ConfigError(f"{OP}: {what} of {rowptr.size - 1} nodes on a graph of {nodes} nodes")
    check_weights(f"{name}.weight", weight)
    return SparseRows(fixed(OP, rowptr.astype(np.int64, copy=False), INDICES), index, weight)


def _check_alike(clamp: SparseRows, rows: SparseRows) -> None:
    for name in ("index", "weight"):
        found, want = getattr(clamp, name).dtype, getattr(rows, name).dtype
        if found != want:
            raise ConfigError(f"{OP}: clamp.{name} is {found}, rows.{name} {want}; make them alike")


def _of_all(progress: Progress | None, number: int, steps: int) -> Progress | None:
    """Progress of one step as progress of all."""
    if progress is None:
        return None
    return lambda done, nodes: progress(number * nodes + done, steps * nodes)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside one that is to be, removed in the end."""
    if folder.exists():
        raise DataError(f"{folder}: exists already; results are written to a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent)
    try:
        yield Path(temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
