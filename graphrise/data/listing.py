"""Lists of images as images.parquet: a batch of rows at a time, every picture checked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from graphrise.data.files import whole_folder
from graphrise.errors import DataError

Missing = Literal["error", "skip"]
"""What to do with a listed image that has no picture: stop, or leave it out and count it."""

BATCH = 1 << 15
"""Rows of a table that are in memory at a time."""
PICTURES = 1 << 10
"""The same of a table that holds the pictures themselves."""
_SHOWN = 3


@dataclass
class Listed:
    """What a list of images came to.

    Attributes:
        splits: Images by split, in the order in which the splits came.
        missing: Listed images without a picture.
        examples: The first few of them.
    """

    splits: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    examples: list[str] = field(default_factory=list)

    def report(self, out: Path, published: Mapping[str, int] | None = None) -> str:
        """Lines to print: images by split, those left out, and where counts are not as published.

        Args:
            out: Dataset folder.
            published: Images by split as the publisher states them.
        """
        counts = ", ".join(f"{count:,} {split}" for split, count in self.splits.items())
        lines = [f"{out}: {self.splits.total():,} images ({counts})"]
        if self.missing:
            some = ", ".join(self.examples)
            lines.append(f"note: {self.missing:,} listed images have no picture, left out: {some}")
        for split, count in (published or {}).items():
            if self.splits[split] != count:
                lines.append(
                    f"note: {self.splits[split]:,} images of split {split}, {count:,} are published"
                )
        return "\n".join(lines)


def list_images(
    out: Path,
    source: Path,
    rows: Iterable[Mapping[str, Any]],
    *,
    columns: Sequence[str] = ("label",),
    missing: Missing = "error",
    overwrite: bool = False,
) -> Listed:
    """Write a dataset folder that is nothing but a list of picture files.

    Args:
        out: Dataset folder to write, whole or not at all.
        source: As in `write_images`, as are the others.
        rows: Images.
        columns: Further columns, all text.
        missing: What to do with an image without a picture.
        overwrite: Replace an earlier folder.

    Returns:
        Counts.

    Raises:
        DataError: As `write_images` and `whole_folder`.
    """
    with whole_folder(out, overwrite=overwrite, mark="images.parquet") as folder:
        return write_images(folder, source, rows, columns=columns, missing=missing)


def write_images(
    folder: Path,
    source: Path,
    rows: Iterable[Mapping[str, Any]],
    *,
    columns: Sequence[str] = ("label",),
    encoded: bool = False,
    missing: Missing = "error",
) -> Listed:
    """Write `images.parquet`; picture files stay where they are.

    Args:
        folder: Dataset folder, or the temporary one beside it that becomes it.
        source: Folder of the pictures. Column `path` leads there from `folder`, so both may move
            as long as they move together.
        rows: By image `image_id`, `split`, `columns`, and `path` relative to `source` or, if
            `encoded`, the bytes `image` (empty or None: it has no picture).
        columns: Further columns, all text; a row may lack them.
        encoded: Rows hold the pictures themselves.
        missing: What to do with an image without a picture.

    Returns:
        Counts.

    Raises:
        DataError: No row, or pictures are missing; says how many and names the first.
    """
    place = pa.field("image", pa.binary()) if encoded else pa.field("path", pa.string())
    text = [pa.field(name, pa.string()) for name in ("image_id", "split", *columns)]
    listed = Listed()
    present = _in_rows(rows, listed) if encoded else _on_disk(rows, source, folder, listed)
    schema = pa.schema([text[0], place, *text[1:]])
    size = PICTURES if encoded else BATCH
    written = write_rows(folder / "images.parquet", present, schema, size=size)
    if listed.missing and (missing == "error" or not written):
        raise DataError(
            f"{source}: {listed.missing:,} of {listed.missing + written:,} listed images have no "
            f"picture, the first: {', '.join(listed.examples)}"
            + ("; leave them out with --missing skip" if written else "")
        )
    if not written:
        raise DataError(f"{source}: no image found")
    return listed


def write_rows(
    file: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema, *, size: int = BATCH
) -> int:
    """Write rows to a Parquet file, `size` of them in memory at a time.

    Returns:
        How many.
    """
    count, rows = 0, iter(rows)
    with pq.ParquetWriter(file, schema) as writer:
        while part := list(islice(rows, size)):
            writer.write_batch(pa.RecordBatch.from_pylist(part, schema))
            count += len(part)
    return count


def require_source(source: Path, *needed: str) -> None:
    """Refuse a folder that lacks what a dataset consists of.

    Raises:
        DataError: One of the files or folders `needed` is not there; names all of them.
    """
    absent = [name for name in needed if not (source / name).exists()]
    if absent:
        raise DataError(
            f"{source}: {', '.join(absent)} not found; expected is a folder that holds "
            f"{', '.join(needed)}"
        )


def fields(file: Path, count: int, *, skip: int = 0) -> Iterator[list[str]]:
    """Lines of a text file, split at white space into `count` fields; the last may hold spaces.

    Args:
        file: UTF-8 text; empty lines are passed over.
        count: Fields of a line.
        skip: Lines of header.

    Raises:
        DataError: A line has fewer fields, or the file is not UTF-8; names file and line.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                found = line.split(maxsplit=count - 1)
                if number <= skip or not found:
                    continue
                if len(found) < count:
                    raise DataError(
                        f"{file}: line {number} has {len(found)} fields, expected are {count}: "
                        f"{line.strip()!r}"
                    )
                found[-1] = found[-1].rstrip()
                yield found
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text ({error.reason})") from error


def _on_disk(
    rows: Iterable[Mapping[str, Any]], source: Path, folder: Path, listed: Listed
) -> Iterator[Mapping[str, Any]]:
    prefix = _way(source, folder)
    for row in rows:
        if os.path.isfile(os.path.join(source, row["path"])):
            listed.splits[row["split"]] += 1
            yield {**row, "path": f"{prefix}/{row['path']}"}
        else:
            _miss(listed, row["path"])


def _in_rows(rows: Iterable[Mapping[str, Any]], listed: Listed) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        if row["image"]:
            listed.splits[row["split"]] += 1
            yield row
        else:
            _miss(listed, row["image_id"])


def _miss(listed: Listed, name: str) -> None:
    listed.missing += 1
    if len(listed.examples) < _SHOWN:
        listed.examples.append(name)


def _way(source: Path, folder: Path) -> str:
    """The way from one folder to the other, without symbolic links: `..` would follow them."""
    source, folder = source.resolve(), folder.resolve()
    try:
        return Path(os.path.relpath(source, folder)).as_posix()
    except ValueError:  # on another drive
        return source.as_posix()
