"""Write Clickture-Lite (MSR-Bing Image Retrieval Challenge) as a dataset folder: a real click log.

    python datasets/clickture.py SOURCE OUT [--pictures_in '*Image*.tsv']

1,000,000 pictures and 11.7 million queries of a year of Bing's image search; Clickture-Full has 40
million and 73.6 million, 212.3 million (picture, query, clicks) in all (Hua et al., Clickage, ACM
MM 2013). Size not stated. Licence: by Microsoft's agreement. Expected, in SOURCE or in `Train`:
`TrainClickLog.tsv` (image key, query, clicks: as public readers of the challenge's data have it),
and files of pictures (image key first, a JPEG in base64 last). The names of the latter are an
assumption: say with --pictures_in what yours are called. No checksum is published. Checked: every
line has its fields, clicks are whole numbers, and there is a picture in each line. A click on an
image that no file holds is found by `graphrise build-graph`, which stops or with
`--graph.on_unknown_image drop` counts it.

Split: `train` for all. No labels: train on the queries (`--labels.source queries`). The
challenge's protocol, DCG@25 of judged pairs of query and picture (`DevSetLabel.tsv`), needs an
encoder of text and is not written. Run `graphrise pack OUT` before training: the pictures are
otherwise read into memory.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from graphrise.cli.script import run_script
from graphrise.data.files import whole_folder
from graphrise.data.listing import Missing, require_source, write_images, write_rows
from graphrise.errors import DataError

LOG = "TrainClickLog.tsv"
CLICKS = pa.schema([("query", pa.string()), ("image_id", pa.string()), ("clicks", pa.int64())])


def columns(file: Path, least: int) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and columns of a file of tab-separated values."""
    with file.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            row = line.rstrip("\r\n").split("\t")
            if len(row) < least:
                raise DataError(f"{file}: line {number} has {len(row)} columns, not {least}")
            yield number, row


def pictures(files: list[Path]) -> Iterator[dict[str, Any]]:
    """Images with their bytes; none where they are not base64."""
    for file in files:
        for _, row in columns(file, 2):
            try:
                image = base64.b64decode(row[-1], validate=True)
            except (binascii.Error, ValueError):
                image = None
            yield {"image_id": row[0], "image": image, "split": "train"}


def clicks(file: Path) -> Iterator[dict[str, Any]]:
    """Rows of the log."""
    for number, (image, query, count, *_) in columns(file, 3):
        if not count.strip().isdecimal():
            raise DataError(f"{file}: line {number}: clicks {count!r} is not a whole number")
        yield {"query": query, "image_id": image, "clicks": int(count)}


def main(
    source: Path,
    out: Path,
    pictures_in: str = "*Image*.tsv",
    missing: Missing = "error",
    overwrite: bool = False,
) -> None:
    """Write the dataset folder of Clickture.

    Args:
        source: Folder with the log and the files of pictures.
        out: Folder to write.
        pictures_in: Pattern of the names of the files of pictures.
        missing: A line without a picture: stop, or leave it out.
        overwrite: Replace an earlier folder.
    """
    folder = source / "Train" if (source / "Train" / LOG).is_file() else source
    require_source(folder, LOG)
    files = sorted(folder.glob(pictures_in))
    if not files:
        raise DataError(f"{folder}: no file {pictures_in}; name them with --pictures_in PATTERN")
    with whole_folder(out, overwrite=overwrite, mark="images.parquet") as written:
        listed = write_images(
            written, folder, pictures(files), columns=(), encoded=True, missing=missing
        )
        count = write_rows(written / "clicks.parquet", clicks(folder / LOG), CLICKS)
    print(listed.report(out))
    print(f"{count:,} rows of clicks")


if __name__ == "__main__":
    run_script(main)
