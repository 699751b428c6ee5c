"""Label tables to folders and back, whole or shard by shard, without a second copy in memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from graphrise.data.files import whole_folder
from graphrise.errors import ConfigError, DataError
from graphrise.nn.heads.row_files import write_rows
from graphrise.nn.heads.table import LabelTable
from graphrise.nn.heads.table_format import META, SavedTable, Shard, check_tiling, read_meta


def save_table(
    table: LabelTable,
    folder: Path,
    *,
    overwrite: bool = False,
    group: dist.ProcessGroup | None = None,
) -> None:
    """Write weight and state as a folder, whole or not at all.

    The files are written under a temporary name beside `folder`, so an overwritten table needs its
    space twice for a while. A gradient that no optimiser step has used is not saved. For a run to
    go on bit for bit keep `head.state_dict()` and the optimiser's `state_dict()` of the same step
    too.

    Args:
        table: On any device; with `group`, this rank's shard.
        folder: On a disk that all ranks see.
        overwrite: Whether an earlier saved table there may be replaced.
        group: Ranks that hold a shard each, in the order of labels, for example
            `torch.distributed.group.WORLD`: each calls this, writes its own rows, and returns when
            the folder is there. None: the table is whole.

    Raises:
        ConfigError: The shards do not make up one table, or without `group` this is a shard.
        DataError: `folder` exists and `overwrite` is false, or it is no saved table; or another
            rank failed.
        OSError: The disk is full.
    """
    rank = 0 if group is None else dist.get_rank(group)
    mine = (table.first, table.num_labels, table.dim, table.weight.dtype, table.seed)
    _check_shards(_together(lambda: mine, group))
    with ExitStack() as stack:

        def begin() -> Path | None:
            new = whole_folder(folder, overwrite=overwrite, mark=META)
            return stack.enter_context(new) if rank == 0 else None

        place = _together(begin, group)[0]
        shards = _together(lambda: write_shard(table, place, rank), group)

        def finish() -> None:
            if rank == 0:
                saved = SavedTable(folder, table.dim, table.weight.dtype, table.seed, tuple(shards))
                saved.write(place)
            stack.close()

        _together(finish, group)


def write_shard(table: LabelTable, folder: Path, number: int) -> Shard:
    """Write the files of one shard into a folder that is being made."""
    shard = Shard(table.first, table.num_labels, number, "", "")
    digests = [
        write_rows(folder / shard.file(part), getattr(table, part)) for part in ("weight", "state")
    ]
    return Shard(table.first, table.num_labels, number, *digests)


def load_table(
    folder: Path,
    first: int = 0,
    count: int | None = None,
    *,
    device: torch.device | str | None = None,
    verify: bool = False,
) -> LabelTable:
    """Read a saved table, or any part of it, into memory.

    The part need not be a shard that was saved: with `shard_bounds` a table goes to another number
    of ranks. Its rows are read to where they stay.

    Args:
        folder: That `save_table` wrote.
        first: Label of the first row wanted.
        count: Rows wanted; None: all that follow.
        device: As `LabelTable`'s: where the table is to lie and stay.
        verify: Read the files of these rows once more and compare checksums.

    Raises:
        DataError: Not a saved table, another format, a file that is missing or of another size, a
            failed checksum, or the table has no such rows.
    """
    saved = read_meta(folder)
    count = saved.num_labels - first if count is None else count
    saved.parts_of(first, count)
    if verify:
        saved.verify(first, count)
    weight = torch.empty(count, saved.dim, dtype=saved.dtype, device=device)
    table = LabelTable(count, saved.dim, seed=saved.seed, first=first, weight=weight, device=device)
    saved.fill("weight", first, table.weight)
    saved.fill("state", first, table.state)
    return table


@torch.no_grad()
def refill_table(table: LabelTable, folder: Path) -> None:
    """Read a saved table's rows into those of one that is there: no second copy in memory.

    Args:
        table: The whole table, or any slice of it.
        folder: That `save_table` wrote.

    Raises:
        DataError: As `load_table`, or the rows are of another width or dtype.
    """
    saved = read_meta(folder)
    if (saved.dim, saved.dtype) != (table.dim, table.weight.dtype):
        raise DataError(
            f"{folder}: has {saved.dtype} rows of {saved.dim} numbers, the table "
            f"{table.weight.dtype} ones of {table.dim}"
        )
    saved.parts_of(table.first, table.num_labels)
    saved.fill("weight", table.first, table.weight)
    saved.fill("state", table.first, table.state)


def _check_shards(shards: list[tuple[int, int, int, torch.dtype, int]]) -> None:
    if len({shard[2:] for shard in shards}) != 1:
        raise ConfigError(f"save_table: shards differ in (dim, dtype, seed): {shards}")
    try:
        check_tiling([shard[:2] for shard in shards])
    except ValueError as error:
        raise ConfigError(
            f"save_table: {error}, as (first, count); the shards of all ranks are a table, so give "
            "the group of ranks"
        ) from error


def _together(work: Callable[[], Any], group: dist.ProcessGroup | None) -> list[Any]:
    """What every rank's `work` gives; if one fails all do, so that nobody waits for it."""
    if group is None:
        return [work()]
    result, failure = None, None
    try:
        result = work()
    except Exception as error:
        failure = error
    found: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(found, (result, failure and str(failure)), group)
    if failure is not None:
        raise failure
    for rank, (_, message) in enumerate(found):
        if message is not None:
            raise DataError(f"rank {rank}: {message}")
    return [result for result, _ in found]
