"""One part file of a pack: written whole, and able to say what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from graphrise.data.files import whole_file
from graphrise.data.tables import ImageTable
from graphrise.images.bad import BadImage
from graphrise.images.pack_format import PART_INFO, part_name
from graphrise.images.repack import repack
from graphrise.images.table_store import TableStore


@dataclass(frozen=True)
class PartJob:
    """What a process needs to write a part.

    Attributes:
        dataset: Dataset folder, which paths are relative to.
        folder: Pack folder.
        part: Number of the part.
        rows: Its rows of images.parquet, as an Arrow IPC stream.
        settings: The pack's; kept in the part.
        skip: A bad picture is stored as null instead of ending the work.
    """

    dataset: Path
    folder: Path
    part: int
    rows: pa.Buffer
    settings: dict[str, Any]
    skip: bool


def as_stream(schema: pa.Schema, rows: Iterable[pa.Table]) -> pa.Buffer:
    """Rows as a `PartJob` holds them."""
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, schema) as writer:
        for some in rows:
            writer.write_table(some)
    return stream.getvalue()


def write_part(job: PartJob) -> None:
    """Write one part under its final name, whole or not at all.

    Raises:
        DataError: A picture is bad and bad ones are not skipped; names its id and place.
        OSError: The part cannot be written (disk full); names the file.
    """
    table = pa.ipc.open_stream(job.rows).read_all()
    store = TableStore(ImageTable(job.dataset, table))
    data: list[bytes | memoryview | None] = []
    sizes: list[tuple[int, int]] = []
    bad: list[dict[str, Any]] = []
    kept = before = 0
    for row in range(len(store)):
        try:
            source = store.read(row)
            picture = repack(source, job.settings["side"], job.settings["quality"])
        except BadImage as error:
            if not job.skip:
                raise store.error(row, error) from error
            bad.append(
                {
                    "row": job.part * job.settings["part_rows"] + row,
                    "image_id": store.image_id(row),
                    "source": store.source(row),
                    "reason": str(error),
                }
            )
            data.append(None)
            sizes.append((0, 0))
            continue
        data.append(picture.data)
        sizes.append((picture.height, picture.width))
        kept += picture.kept
        before += len(source)
    info = {"settings": job.settings, "kept": kept, "bytes_before": before, "bad": bad}
    batch = pa.RecordBatch.from_arrays(
        [
            pa.concat_arrays(table.column("image_id").chunks),
            pa.array(data, pa.large_binary()),
            *(pa.array([size[i] for size in sizes], pa.int32()) for i in (0, 1)),
        ],
        names=["image_id", "image", "height", "width"],
    ).replace_schema_metadata({PART_INFO: json.dumps(info)})
    _write(batch, job.folder / part_name(job.part))


def read_info(file: Path) -> dict[str, Any] | None:
    """What `write_part` noted in a part; None where the part is missing or damaged."""
    try:
        with pa.memory_map(str(file)) as mapped, pa.ipc.open_file(mapped) as reader:
            return json.loads((reader.schema.metadata or {})[PART_INFO])
    except (pa.ArrowException, OSError, KeyError, ValueError):
        return None


def _write(batch: pa.RecordBatch, file: Path) -> None:
    try:
        with (
            whole_file(file) as temporary,
            pa.OSFile(str(temporary), "wb") as sink,
            pa.ipc.new_file(sink, batch.schema) as writer,
        ):
            writer.write_batch(batch)
    except OSError as error:
        raise OSError(f"{file}: cannot be written: {error}") from error
