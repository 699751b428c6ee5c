"""Label tables whose rows stay in files: for tables larger than memory.

A module that is moved to a GPU leaves them there: rows go over as a step reads them.
"""

from __future__ import annotations

from pathlib import Path

import torch

from graphrise.data.files import whole_folder
from graphrise.errors import ConfigError, DataError
from graphrise.nn.heads.row_files import DESCR, map_rows, new_rows
from graphrise.nn.heads.table import LabelTable
from graphrise.nn.heads.table_format import SavedTable, read_meta

_MARK = "weight.npy"


def open_table(folder: Path, first: int = 0, count: int | None = None) -> LabelTable:
    """Open a saved table without reading it: rows are read from the disk when they are used.

    For `top_labels`, or to grow a table. The files are never changed: what a training step writes
    stays in memory and is seen by this process only. Pages that were read count as its memory, but
    the system takes them back when it needs them.

    Args:
        folder: That `save_table` wrote.
        first: Label of the first row wanted.
        count: Rows wanted; None: all that follow.

    Raises:
        DataError: As `load_table`, or the rows lie in the files of several shards.
    """
    saved = read_meta(folder)
    count = saved.num_labels - first if count is None else count
    shards = saved.parts_of(first, count)
    if len(shards) > 1:
        raise DataError(
            f"{folder}: labels {first:,} to {first + count:,} lie in {len(shards)} shards, which "
            "cannot be mapped as one; load_table reads them, mapped_copy makes one file of them"
        )
    (shard,) = shards
    begin = first - shard.first

    def mapped(part: str, dtype: torch.dtype) -> torch.Tensor:
        shape = saved.shape(part, shard.count)
        return map_rows(folder / shard.file(part), shape, dtype, begin, count, shared=False)

    weight = mapped("weight", saved.dtype)
    state = mapped("state", saved.state_dtype)
    return _kept(saved, first, weight, state)


def mapped_table(
    num_labels: int,
    dim: int,
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    first: int = 0,
    overwrite: bool = False,
) -> LabelTable:
    """Make a new table in files, to be trained there.

    Training changes `weight.npy` and `state.npy` in place, so after a crash they are no checkpoint:
    `save_table` makes those, and `mapped_copy` goes on from one.

    Args:
        num_labels: C, rows of this table.
        dim: D.
        folder: Where its files go, best on a local SSD.
        dtype: As `LabelTable`.
        seed: As `LabelTable`, which makes the same rows.
        first: Label of the first row.
        overwrite: Whether files of an earlier run there may be replaced.

    Raises:
        ConfigError: No labels, no dimensions or another dtype.
        DataError: `folder` exists and `overwrite` is false, or it holds something else.
        OSError: The disk is full.
    """
    if num_labels < 1 or dim < 1 or dtype not in DESCR:
        raise ConfigError(
            f"mapped_table: {num_labels} labels of {dim} numbers of {dtype}; at least one of each, "
            "of float32, bfloat16 or float64"
        )
    shape = SavedTable(folder, dim, dtype, seed, ())
    with whole_folder(folder, overwrite=overwrite, mark=_MARK) as place:
        table = _new(shape, place, num_labels, first)
        table.reset(0, num_labels)
    return table


def mapped_copy(
    saved: Path,
    folder: Path,
    first: int = 0,
    count: int | None = None,
    *,
    verify: bool = False,
    overwrite: bool = False,
) -> LabelTable:
    """Copy a saved table, or a part of it, to files where it is trained on.

    As `mapped_table`; the saved one is not changed.

    Args:
        saved: That `save_table` wrote, in any number of shards.
        folder: Where the copy goes.
        first: Label of the first row wanted.
        count: Rows wanted; None: all that follow.
        verify: Read the saved files once more and compare checksums.
        overwrite: Whether files of an earlier run there may be replaced.

    Raises:
        DataError: As `load_table` of `saved`, and as `mapped_table` of `folder`.
        OSError: The disk is full.
    """
    source = read_meta(saved)
    count = source.num_labels - first if count is None else count
    source.parts_of(first, count)
    if verify:
        source.verify(first, count)
    with whole_folder(folder, overwrite=overwrite, mark=_MARK) as place:
        table = _new(source, place, count, first)
        source.fill("weight", first, table.weight)
        source.fill("state", first, table.state)
    return table


def _new(like: SavedTable, place: Path, count: int, first: int) -> LabelTable:
    weight = new_rows(place / _MARK, like.shape("weight", count), like.dtype)
    state = new_rows(place / "state.npy", like.shape("state", count), like.state_dtype)
    return _kept(like, first, weight, state)


def _kept(like: SavedTable, first: int, weight: torch.Tensor, state: torch.Tensor) -> LabelTable:
    """A table over mapped rows, which no module takes away from their file."""
    given = {"weight": weight, "state": state, "device": "cpu"}
    return LabelTable(*weight.shape, seed=like.seed, first=first, **given)
