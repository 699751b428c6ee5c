"""Sparse rows mixed over neighbours by hashing, node by node."""

from __future__ import annotations

import numpy as np
import torch

from graphrise.ops.cpu.jit import SMALL, compiled, even_parts, run_parts
from graphrise.ops.cpu.sparse_select import keep_heaviest, sort_by_label
from graphrise.ops.sparse_rows.rows import SparseRows

_BITS = 10
"""Slots of a new row's table, as a power of 2: 4 KB, which stay in the nearest cache."""
_AHEAD = 128
"""Edges whose rows are fetched together: one waits for memory while others arrive."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mixed_block(
    first: int,
    rowptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    rows: SparseRows,
    own: float,
    power: float,
    top: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `graphrise.ops.sparse_rows.plain.mixed_block`, on torch's number of threads."""
    counts = np.zeros(rowptr.size - 1, dtype=np.int64)
    if rows.index.size == 0:
        return counts, rows.index[:0], rows.weight[:0]
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def part(begin: int, end: int) -> None:
        index, share, _ = _mixed_rows(
            begin, end, first, rowptr, col, weight, *rows, own, power, top, counts
        )
        found[begin] = index, share

    work = col.size + counts.size
    threads = torch.get_num_threads() if work >= SMALL else 1
    run_parts(part, even_parts(rowptr, threads))
    parts = [found[begin] for begin in sorted(found)]
    if not parts:
        return counts, rows.index[:0], rows.weight[:0]
    return counts, np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


@compiled
def _mixed_rows(
    begin, end, first, rowptr, col, weight, start, label, share, own, power, top, counts
):
    slot, key, total = _table(_BITS, label.dtype)
    index = np.empty((end - begin) * min(top, 16), dtype=label.dtype)
    out = np.empty(index.size, dtype=share.dtype)
    ahead = np.empty(2 * _AHEAD + 1, dtype=np.int64)
    ahead[0], used, touched = rowptr[begin], 0, 0.0
    for v in range(begin, end):
        bits = _BITS
        found = -1
        while True:
            found, some = _gather(
                v, first, rowptr, col, weight, start, label, share, own, bits, slot, key, total,
                ahead,
            )  # fmt: skip
            touched += some
            if found >= 0:
                break
            # Begun anew with a larger table: all the smaller ones cost a third of the last.
            bits += 2
            if slot.size < 1 << bits:
                slot, key, total = _table(bits, label.dtype)
        kept = keep_heaviest(key, total, found, top)
        if used + kept > index.size:
            index = _longer(index, 2 * index.size + kept)
            out = _longer(out, index.size)
        counts[v] = _sharpened(key, total, kept, power, index, out, used)
        used += counts[v]
    return index[:used].copy(), out[:used].copy(), touched


@compiled
def _table(bits, kind):
    half = 1 << (bits - 1)
    return np.empty(2 * half, dtype=np.int32), np.empty(half, dtype=kind), np.empty(half)


@compiled
def _gather(v, first, rowptr, col, weight, start, label, share, own, bits, slot, key, total, ahead):
    """Sum a node's and its neighbours' entries by label; -1 if the table is too small."""
    mask, shift = np.uint64((1 << bits) - 1), np.uint64(64 - bits)
    most, found, touched = 1 << (bits - 1), 0, 0.0
    slot[: 1 << bits] = -1
    # The own row is as a neighbour's, before the others.
    for e in range(rowptr[v] - 1, rowptr[v + 1]):
        u, w = np.int64(first + v), own
        if e >= rowptr[v]:
            if e >= ahead[0]:
                touched += _touch(e, rowptr[-1], col, start, label, share, ahead)
            u, w = np.int64(col[e]), weight[e]
        for k in range(start[u], start[u + 1]):
            name = label[k]
            at = (np.uint64(name) * _GOLDEN) >> shift
            while slot[at] >= 0 and key[slot[at]] != name:
                at = (at + np.uint64(1)) & mask
            place = slot[at]
            if place >= 0:
                total[place] += w * share[k]
            elif found == most:
                return -1, touched
            else:
                slot[at], key[found], total[found] = found, name, w * share[k]
                found += 1
    return found, touched


@compiled
def _touch(e, end, col, start, label, share, ahead):
    """Read the ends of the next nodes' rows; the result only keeps the reads from being left out.

    Args:
        e: First edge.
        end: Edges.
        col: Of each.
        start: Row pointers.
        label: Read.
        share: Read.
        ahead: Scratch; the first is set to the edge after those read.
    """
    count, last, some = min(end - e, _AHEAD), label.size - 1, 0.0
    for i in range(count):
        ahead[2 * i + 1], ahead[2 * i + 2] = start[col[e + i]], start[col[e + i] + 1]
    for i in range(count):
        # Of an empty row it is a place nearby that is there.
        a, b = min(ahead[2 * i + 1], last), max(ahead[2 * i + 2] - 1, 0)
        some += label[a] + label[b] + share[a] + share[b]
    ahead[0] = e + count
    return some


@compiled
def _longer(array, size):
    out = np.empty(size, dtype=array.dtype)
    out[: array.size] = array
    return out


@compiled
def _sharpened(key, total, kept, power, index, out, used):
    """Write a row's entries by rising label; give how many, those that are not 0."""
    peak = 0.0
    for i in range(kept):
        peak = max(peak, total[i])
    if peak == 0.0:
        return 0
    sort_by_label(key, total, kept)
    whole = 0.0
    for i in range(kept):
        # Scaled first, so that a high power cannot underflow to 0 / 0.
        part = total[i] / peak
        total[i] = part * part if power == 2.0 else part**power
        whole += total[i]
    count = 0
    for i in range(kept):
        index[used + count] = key[i]
        out[used + count] = total[i] / whole
        count += out[used + count] > 0
    return count
