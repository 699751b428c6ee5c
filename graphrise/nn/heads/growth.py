"""A trained label table for a vocabulary that has grown."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrise.errors import ConfigError
from graphrise.nn.heads.table import LabelTable

_BLOCK = 1 << 18


def grow(
    table: LabelTable, num_labels: int, *, first: int = 0, count: int | None = None
) -> LabelTable:
    """The table with rows for new labels at its end.

    Old rows keep value and state; new ones are as `LabelTable` of the same seed makes them, with
    state 0. For a head and an optimiser of the new table `head.state_dict()` and the optimiser's
    `state_dict()` of the old ones hold.

    The new table is made beside the old one, so memory holds both. Where it cannot, save the old
    one and grow `open_table(folder)`: then only the new one is in memory.

    Args:
        table: Whole, not a shard.
        num_labels: New C, at least the old one.
        first: Label of the first row wanted, for a shard of the new table.
        count: Rows wanted; None: all that follow.

    Returns:
        A new table on the same device, in memory; it moves with a module that has it.

    Raises:
        ConfigError: Fewer labels than before, `table` is a shard, or no such rows.
    """
    old = table.num_labels
    if num_labels < old:
        raise ConfigError(f"grow: {num_labels:,} labels for a table of {old:,}; it cannot shrink")
    grown = _new(table, num_labels, first, count)
    kept = min(max(old - first, 0), grown.num_labels)
    for begin in range(0, kept, _BLOCK):
        end = min(begin + _BLOCK, kept)
        grown.weight[begin:end] = table.weight[first + begin : first + end]
        grown.state[begin:end] = table.state[first + begin : first + end]
    if kept < grown.num_labels:
        grown.reset(kept, grown.num_labels)
    return grown


def rebuild(
    table: LabelTable, old_row: Tensor, *, first: int = 0, count: int | None = None
) -> LabelTable:
    """The table in the order of a vocabulary that was built again.

    Labels are sorted by falling frequency, which `LogUniform` relies on, so a new vocabulary has
    old labels in other places, and may lack some. With pyarrow, `old_row` of two vocabularies is
    `pc.index_in(new, value_set=old).fill_null(-1)`. Memory and the rest as `grow`.

    Args:
        table: Whole, not a shard.
        old_row: int64 `[C_new]`, row of each new label in `table`, -1 where it has none; no row
            twice.
        first: Label of the first row wanted, for a shard of the new table.
        count: Rows wanted; None: all that follow.

    Returns:
        A new table on the same device, in memory; it moves with a module that has it.

    Raises:
        ConfigError: `old_row` is something else, `table` is a shard, or no such rows.
    """
    _check_rows(old_row, table.num_labels)
    built = _new(table, old_row.numel(), first, count)
    source = old_row[first : first + built.num_labels].to(table.weight.device)
    for begin in range(0, built.num_labels, _BLOCK):
        end = min(begin + _BLOCK, built.num_labels)
        rows = source[begin:end]
        known = rows >= 0
        if not bool(known.all()):
            built.reset(begin, end)
        place = begin + known.nonzero().squeeze(1)
        built.weight[place] = table.weight[rows[known]]
        built.state[place] = table.state[rows[known]]
    return built


def _check_rows(old_row: Tensor, old: int) -> None:
    if old_row.dtype != torch.int64 or old_row.dim() != 1:
        raise ConfigError(f"rebuild: old_row is int64 [C_new], not {old_row.dtype} {old_row.shape}")
    if old_row.numel() and not -1 <= int(old_row.min()) <= int(old_row.max()) < old:
        raise ConfigError(
            f"rebuild: old_row has {int(old_row.min())} to {int(old_row.max())}; rows of the table "
            f"are 0 to {old - 1}, and -1 is a new label"
        )
    known = old_row[old_row >= 0]
    seen = torch.zeros(old, dtype=torch.bool, device=old_row.device)
    seen[known] = True
    if int(seen.sum()) != known.numel():
        raise ConfigError("rebuild: old_row names a row twice; one label is one row")


def _new(like: LabelTable, num_labels: int, first: int, count: int | None) -> LabelTable:
    if like.first != 0:
        raise ConfigError(
            f"a table that grows must be whole, and this is a shard that begins at label "
            f"{like.first:,}; save the shards, then open or load them as one"
        )
    count = num_labels - first if count is None else count
    if first < 0 or count < 1 or first + count > num_labels:
        raise ConfigError(f"labels {first:,} to {first + count:,} of {num_labels:,}: no such rows")
    shape = (count, like.dim)
    weight = torch.empty(shape, dtype=like.weight.dtype, device=like.weight.device)
    return LabelTable(*shape, dtype=weight.dtype, seed=like.seed, first=first, weight=weight)
