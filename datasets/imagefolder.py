"""Write a folder of pictures by class as a dataset folder.

    python datasets/imagefolder.py SOURCE OUT                  # SOURCE/SPLIT/CLASS/.../picture
    python datasets/imagefolder.py SOURCE OUT --split train    # SOURCE/CLASS/.../picture

The layout of torchvision's ImageFolder, with or without a level of splits above it. `label` is the
name of the class folder; `image_id` is the path. Files that are no pictures by their suffix are
left out and counted. Size, licence, splits and protocol are your own: the splits `train` and
`gallery` become nodes of a graph, all others stay unseen.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from graphrise.cli.script import run_script
from graphrise.data.listing import list_images
from graphrise.errors import DataError

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"))


def rows(source: Path, split: str | None, left_out: Counter[str]) -> Iterator[dict[str, str]]:
    """Pictures in sorted order; `left_out` counts other files and those outside a class folder."""
    depth = 1 if split else 2
    for folder, folders, files in os.walk(source, followlinks=True):
        folders.sort()
        parts = Path(folder).relative_to(source).parts
        for name in sorted(files):
            if os.path.splitext(name)[1].lower() not in SUFFIXES:
                left_out["no pictures by their suffix"] += 1
            elif len(parts) < depth:
                left_out["outside a class folder"] += 1
            else:
                path = "/".join((*parts, name))
                yield {
                    "image_id": path,
                    "path": path,
                    "split": split or parts[0],
                    "label": parts[depth - 1],
                }


def main(source: Path, out: Path, split: str | None = None, overwrite: bool = False) -> None:
    """Write the dataset folder of pictures by class.

    Args:
        source: Folder of split folders, or of class folders.
        out: Folder to write.
        split: Split of all pictures: SOURCE holds class folders. None: it holds split folders.
        overwrite: Replace an earlier folder.
    """
    layout = "CLASS/.../picture" if split else "SPLIT/CLASS/.../picture"
    if not source.is_dir():
        raise DataError(f"{source}: no such folder; expected is {source}/{layout}")
    left_out: Counter[str] = Counter()
    found = rows(source, split, left_out)
    first = next(found, None)
    if first is None:
        raise DataError(
            f"{source}: no picture in a class folder; expected is {layout}"
            + ("" if split else ", or with --split NAME: CLASS/.../picture")
        )

    def every() -> Iterator[dict[str, str]]:
        yield first
        yield from found

    listed = list_images(out, source, every(), overwrite=overwrite)
    print(listed.report(out))
    for reason, count in left_out.items():
        print(f"note: {count:,} files left out: {reason}")


if __name__ == "__main__":
    run_script(main)
