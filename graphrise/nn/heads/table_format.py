"""What a folder with a saved label table holds: a small JSON, and two files of each shard."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphrise.errors import DataError
from graphrise.nn.heads.row_files import DESCR, file_digest, read_rows

FORMAT = 1
META = "table.json"
_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in DESCR}


@dataclass(frozen=True)
class Shard:
    """Some consecutive rows, in `weight_N.npy` and `state_N.npy`.

    Attributes:
        first: Label of its first row.
        count: Rows.
        number: N, from 0.
        weight_sha256: Of its file.
        state_sha256: Of its file.
    """

    first: int
    count: int
    number: int
    weight_sha256: str
    state_sha256: str

    def file(self, part: str) -> str:
        """Name of the file of "weight" or "state"."""
        return f"{part}_{self.number:05d}.npy"


@dataclass(frozen=True)
class SavedTable:
    """A saved table.

    Attributes:
        folder: Where it is.
        dim: D.
        dtype: Of the weight.
        seed: Its first values followed from it.
        shards: In order, without gaps.
    """

    folder: Path
    dim: int
    dtype: torch.dtype
    seed: int
    shards: tuple[Shard, ...]

    @property
    def num_labels(self) -> int:
        """C."""
        return self.shards[-1].first + self.shards[-1].count

    @property
    def state_dtype(self) -> torch.dtype:
        """Of the state."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def shape(self, part: str, count: int) -> tuple[int, ...]:
        """Of `count` rows of "weight" or "state"."""
        return (count, self.dim) if part == "weight" else (count,)

    def parts_of(self, first: int, count: int) -> list[Shard]:
        """Shards that hold some of the labels `[first, first + count)`.

        Raises:
            DataError: There are no such labels.
        """
        if first < 0 or count < 1 or first + count > self.num_labels:
            raise DataError(
                f"{self.folder}: labels {first:,} to {first + count:,} are asked for, and it has "
                f"{self.num_labels:,}"
            )
        return [s for s in self.shards if s.first < first + count and first < s.first + s.count]

    def fill(self, part: str, first: int, out: Tensor) -> None:
        """Read the rows from label `first` on into a tensor's memory.

        Args:
            part: "weight" or "state".
            first: Label of the first row.
            out: As many rows as are wanted, of the saved dtype.

        Raises:
            DataError: A file is missing or damaged, or there are no such labels.
        """
        for shard in self.parts_of(first, len(out)):
            begin, end = max(shard.first, first), min(shard.first + shard.count, first + len(out))
            read_rows(
                self.folder / shard.file(part),
                self.shape(part, shard.count),
                begin - shard.first,
                out[begin - first : end - first],
            )

    def verify(self, first: int, count: int) -> None:
        """Read the files of some labels once and compare checksums.

        Raises:
            DataError: One differs, or a file is missing.
        """
        for shard in self.parts_of(first, count):
            for part, want in (("weight", shard.weight_sha256), ("state", shard.state_sha256)):
                file = self.folder / shard.file(part)
                if not file.is_file():
                    raise DataError(f"{file}: missing; save the table again")
                if file_digest(file) != want:
                    raise DataError(f"{file}: damaged (its checksum differs); take another copy")

    def write(self, folder: Path) -> None:
        """Write the JSON: what makes a folder with the shards a saved table."""
        meta = {
            "format": FORMAT,
            "num_labels": self.num_labels,
            "dim": self.dim,
            "dtype": str(self.dtype).removeprefix("torch."),
            "seed": self.seed,
            "shards": [
                {
                    "first": shard.first,
                    "count": shard.count,
                    "weight": shard.file("weight"),
                    "weight_sha256": shard.weight_sha256,
                    "state": shard.file("state"),
                    "state_sha256": shard.state_sha256,
                }
                for shard in self.shards
            ],
        }
        (folder / META).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def read_meta(folder: Path) -> SavedTable:
    """What is saved in a folder.

    Raises:
        DataError: Nothing, or of another format, or the JSON is damaged.
    """
    file = folder / META
    if not file.is_file():
        raise DataError(f"{folder}: not a saved label table (no {META}); save_table writes one")
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
        version = int(meta["format"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: damaged ({error!r}); take another copy") from error
    if version != FORMAT:
        raise DataError(
            f"{file}: format {version}, this graphrise reads {FORMAT}; "
            + ("upgrade it" if version > FORMAT else "save the table again")
        )
    try:
        return _parse(folder, meta)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: damaged ({error!r}); take another copy") from error


def _parse(folder: Path, meta: dict[str, Any]) -> SavedTable:
    shards = tuple(
        Shard(
            int(entry["first"]),
            int(entry["count"]),
            number,
            str(entry["weight_sha256"]),
            str(entry["state_sha256"]),
        )
        for number, entry in enumerate(meta["shards"])
    )
    saved = SavedTable(folder, int(meta["dim"]), _DTYPES[meta["dtype"]], int(meta["seed"]), shards)
    check_tiling([(shard.first, shard.count) for shard in shards])
    if saved.num_labels != int(meta["num_labels"]) or saved.dim < 1:
        raise ValueError(f"{saved.num_labels} labels in shards, dim {saved.dim}")
    return saved


def check_tiling(parts: list[tuple[int, int]]) -> None:
    """Check that shards (first, count) hold every label from 0 on once, in order.

    Raises:
        ValueError: They do not.
    """
    at = 0
    for first, count in parts:
        if first != at or count < 1:
            raise ValueError(f"shards {parts} do not follow each other")
        at += count
    if not parts:
        raise ValueError("no shards")
