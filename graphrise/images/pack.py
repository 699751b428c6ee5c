"""A dataset's pictures, made small once and laid out for random access."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from graphrise.config.base import require
from graphrise.data.tables import ImageTable, read_images
from graphrise.errors import DataError
from graphrise.images.features import holds_features
from graphrise.images.pack_format import (
    MANIFEST,
    PART_ROWS,
    SETTINGS,
    digest,
    part_name,
    read_json,
    write_json,
)
from graphrise.images.pack_part import PartJob, as_stream, read_info, write_part
from graphrise.images.pack_source import PackSource
from graphrise.images.processes import run_jobs
from graphrise.images.store import PACKED

Display = Callable[[str, float | None], None]


@dataclass(frozen=True, kw_only=True)
class PackResult:
    """What a pack holds.

    Attributes:
        folder: Where it is.
        images: Rows, bad ones included.
        kept: Stored byte for byte as they were.
        encoded: Encoded anew.
        bad: Of each picture left out: row, image_id, source, reason.
        bytes_before: Of the encoded sources that could be read.
        bytes_after: Of the part files.
        written: Part files that this call wrote; 0: the pack was whole before.
    """

    folder: Path
    images: int
    kept: int
    encoded: int
    bad: list[dict[str, Any]]
    bytes_before: int
    bytes_after: int
    written: int


def pack(
    dataset: Path,
    out: Path | None = None,
    *,
    side: int = 256,
    quality: int = 90,
    workers: int | None = None,
    overwrite: bool = False,
    on_bad_image: Literal["raise", "skip"] = "raise",
    display: Display = lambda stage, fraction: None,
) -> PackResult:
    """Write the packed form of a dataset's pictures.

    A pack that was cut short continues where it ended, given the same settings. Of column `image`
    a few parts are in memory at a time.

    Args:
        dataset: Dataset folder.
        out: Pack folder; None: `DATASET/packed`, where a pack is found and used.
        side: Short side in pixels; smaller pictures are not enlarged.
        quality: Of the JPEGs, 1..100.
        workers: Processes; None: one a CPU core.
        overwrite: Remove an earlier pack first.
        on_bad_image: What a picture that cannot be read is: an error, or left out (and an error
            for whoever asks for it).
        display: Called with the stage and the fraction done.

    Raises:
        ConfigError: A setting is out of range.
        DataError: A picture is bad or has no place (parts finished before stay), the folder holds
            a pack with other settings, or something else, or another process is packing into it;
            or the images are features.
        OSError: The pack cannot be written.
        GraphriseError: A worker process was killed.
    """
    require(side >= 8, "pack: side must be at least 8 pixels")
    require(1 <= quality <= 100, "pack: quality must lie in [1, 100]")
    require(workers is None or workers >= 1, "pack: workers must be at least 1")
    require(on_bad_image in ("raise", "skip"), "pack: on_bad_image is 'raise' or 'skip'")
    if holds_features(dataset):
        raise DataError(
            f"{dataset}: its images are rows of features.npy, no pictures to pack; train on it as "
            "it is"
        )
    images = read_images(dataset, ["image_id", "path"])
    folder = dataset / PACKED if out is None else out
    settings = {"side": side, "quality": quality, "part_rows": PART_ROWS, "digest": digest(images)}
    with _owned(folder):
        _claim(folder, settings, overwrite=overwrite)
        parts = range(-(-len(images) // PART_ROWS))
        missing = [part for part in parts if _info(folder, part, settings) is None]
        processes = min(workers or os.cpu_count() or 1, max(len(missing), 1))
        display("pack", 1 - len(missing) / len(parts))
        with closing(PackSource(images, missing, PART_ROWS)) as source:
            jobs = _jobs(source, folder, missing, settings, skip=on_bad_image == "skip")
            for done, _ in enumerate(run_jobs(write_part, jobs, processes), start=1):
                display("pack", 1 - (len(missing) - done) / len(parts))
        return _finish(folder, images, settings, on_bad_image == "skip", len(missing))


def _jobs(
    source: PackSource, folder: Path, parts: list[int], settings: dict[str, Any], *, skip: bool
) -> Iterator[PartJob]:
    for part in parts:
        # The rows get no name here, with which they would stay in memory until the next part.
        yield PartJob(
            dataset=source.dataset,
            folder=folder,
            part=part,
            rows=as_stream(source.schema, source.read(part)),
            settings=settings,
            skip=skip,
        )


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Hold the pack folder: no other process packs into it, and no temporary file is left."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file, a folder is to be written there")
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = _lock(folder)
    try:
        _clear_temporaries(folder)
        yield
    finally:
        _clear_temporaries(folder)
        if descriptor is not None:
            os.close(descriptor)


def _lock(folder: Path) -> int | None:
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DataError(f"{folder}: another process is packing into it") from None
    return descriptor


def _clear_temporaries(folder: Path) -> None:
    for file in folder.glob(".*.????????.tmp"):
        file.unlink(missing_ok=True)


def _claim(folder: Path, settings: dict[str, Any], *, overwrite: bool) -> None:
    """Leave settings.json with these settings, and beside it only parts that go with them."""
    file = folder / SETTINGS
    ours = file.is_file() or (folder / MANIFEST).is_file()
    if not ours and any(folder.iterdir()):
        raise DataError(f"{folder}: holds other files and no {SETTINGS}; choose another folder")
    if ours and overwrite:
        # First the mark of a whole pack, last the mark of ours: at no time a wrong one.
        (folder / MANIFEST).unlink(missing_ok=True)
        for part in folder.glob(part_name(0).replace("0", "[0-9]")):
            part.unlink()
        file.unlink(missing_ok=True)
    elif ours:
        earlier = read_json(file)
        other = [name for name, value in settings.items() if earlier.get(name) != value]
        if other:
            names = ", ".join("images.parquet" if n == "digest" else n for n in other)
            raise DataError(
                f"{folder}: was packed with other settings ({names}); give --overwrite to pack anew"
            )
        return
    write_json(file, settings)


def _info(folder: Path, part: int, settings: dict[str, Any]) -> dict[str, Any] | None:
    info = read_info(folder / part_name(part))
    return info if info is not None and info["settings"] == settings else None


def _finish(
    folder: Path, images: ImageTable, settings: dict[str, Any], skip: bool, written: int
) -> PackResult:
    parts, bad, kept, before = [], [], 0, 0
    for part in range(-(-len(images) // PART_ROWS)):
        info = _info(folder, part, settings)
        if info is None:
            raise DataError(f"{folder / part_name(part)}: vanished while packing; run it again")
        parts.append({"file": part_name(part), "bytes": (folder / part_name(part)).stat().st_size})
        bad += info["bad"]
        kept += info["kept"]
        before += info["bytes_before"]
    if bad and not skip:  # a part that an earlier call wrote, which skipped
        first = bad[0]
        raise DataError(
            f"{folder}: image_id {first['image_id']!r} ({first['source']}) cannot be read: "
            f"{first['reason']}"
        )
    counts = {
        "images": len(images),
        "kept": kept,
        "encoded": len(images) - kept - len(bad),
        "bytes_before": before,
        "bytes_after": sum(part["bytes"] for part in parts),
        "bad": bad,
    }
    write_json(folder / MANIFEST, {**settings, **counts, "parts": parts})
    return PackResult(folder=folder, written=written, **counts)
