"""How loops are compiled, and run over ranges of rows by several threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch

SMALL = 1 << 15
"""Numbers that are read below which starting a thread costs more than it saves."""


_PIECES = 8
"""Parts a thread, of large work."""


def compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop at its first call, without the GIL; kept on disk for the next process.

    Sums may be reordered to use vector registers; infinities and NaN keep their meaning.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract", "nsz"}}
    try:
        return numba.njit(cache=True, **options)(loop)
    except RuntimeError:  # neither the package's folder nor the user's can be written
        return numba.njit(**options)(loop)


def elementwise(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function of numbers to one of arrays, which broadcast; kept on disk likewise."""

    def of(function: Callable[..., Any]) -> Any:
        try:
            return numba.vectorize([signature], cache=True)(function)
        except RuntimeError:  # as in `compiled`
            return numba.vectorize([signature])(function)

    return of


def even_parts(rowptr: np.ndarray, parts: int) -> list[tuple[int, int]]:
    """Row ranges with about equally many entries.

    Args:
        rowptr: `[N + 1]`.
        parts: At most so many; fewer where one row has most of the entries.

    Returns:
        `(first, last)` of each, in order, empty ones left out; all N rows are in them.
    """
    rows = rowptr.size - 1
    # Rows count too: of a graph with few entries most of the work is to write empty rows.
    load = rowptr[1:].astype(np.float64) + np.arange(1, rows + 1)
    total = float(load[-1]) if rows else 0.0
    cuts = np.searchsorted(load, [total * p / parts for p in range(1, parts)])
    edges = np.unique(np.concatenate(([0], cuts, [rows]))).astype(np.int64)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def over_rows(loop: Callable[..., Any], rowptr: np.ndarray, width: int, *args: Any) -> None:
    """Call `loop(first, last, *args)` for ranges that cover all rows, on torch's number of threads.

    Args:
        loop: Compiled; writes only what belongs to its rows.
        rowptr: `[N + 1]`; entries of a row are its work.
        width: Numbers read an entry.
        args: Further arguments.
    """
    work = int(rowptr[-1]) * width if rowptr.size > 1 else 0
    threads = torch.get_num_threads() if work >= SMALL else 1
    # Several parts a thread: after an operation of torch its idle threads go on turning for some
    # milliseconds, and the one of ours that shares a core with one of them does less.
    pieces = min(_PIECES, max(1, work // (4 * threads * SMALL))) if threads > 1 else 1
    run_parts(loop, even_parts(rowptr, threads * pieces), *args)


def run_parts(loop: Callable[..., Any], parts: list[tuple[int, int]], *args: Any) -> None:
    """Call `loop(first, last, *args)` for each part, on torch's number of threads at most.

    A thread that is done takes the next part. Threads are started anew: a pool would not live
    through the fork of a data loader's worker.

    Raises:
        Exception: What the first part that failed raised.
    """
    todo, errors = deque(parts), list[BaseException]()

    def work() -> None:
        while todo and not errors:
            try:
                part = todo.popleft()
            except IndexError:  # another thread was quicker
                return
            try:
                loop(*part, *args)
            except BaseException as error:
                errors.append(error)

    count = min(len(parts), torch.get_num_threads())
    others = [threading.Thread(target=work) for _ in range(count - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]
