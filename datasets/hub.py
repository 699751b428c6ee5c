"""Write an image set of the Hugging Face Hub, from its Parquet files, as a dataset folder.

    python datasets/hub.py SOURCE OUT [--image image] [--label label] [--columns '[coarse_label]']
    python datasets/hub.py SOURCE OUT --download USER/NAME [--revision refs/convert/parquet]

SOURCE holds the set's Parquet files, at any depth; with --download they are fetched into it first
(the Hub converts most sets of other forms to Parquet on the revision refs/convert/parquet). Nothing
of the set is run. A set's splits are those its files are named for: `train-00000-of-00002.parquet`,
`train.parquet` or `train/0000.parquet`; of a set with several configurations give the folder of
one. `label` is the name of the class where the files know it, else the value; -1 and null are no
label. Licence, size and protocol are on the set's card. Checked: columns, and that every row has a
picture. The splits `train` and `gallery` become nodes of a graph, all others stay unseen.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphrise.cli.script import run_script
from graphrise.data.files import whole_folder
from graphrise.data.listing import Missing, write_images
from graphrise.data.parquet_rows import parquet_rows, picture
from graphrise.data.tables import check_columns
from graphrise.errors import DataError


def split_of(file: Path) -> str:
    """Split that a file is named for."""
    stem = re.sub(r"-\d+(-of-\d+.*)?$", "", file.stem)
    return file.parent.name if stem.isdecimal() else stem


def class_names(file: Path, columns: tuple[str, ...]) -> dict[str, list[str]]:
    """Names of the classes of those columns that have them."""
    metadata = check_columns(file, columns).metadata or {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: features[name]["names"] for name in columns if "names" in features[name]}
    except (KeyError, TypeError, ValueError):
        return {}


def named(value: Any, names: list[str] | None) -> str | None:
    """A value as text, a class by its name."""
    if value is None or (value == -1 and names is not None):
        return None
    return str(value) if names is None else names[value]


def rows(files: list[Path], image: str, columns: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Images of all files; `columns` says which column of a file each of ours is."""
    count: Counter[str] = Counter()
    for file in files:
        split = split_of(file)
        names = class_names(file, tuple(columns.values()))
        for row in parquet_rows(file, (image, *columns.values())):
            yield {
                "image_id": f"{split}-{count[split]}",
                "image": picture(row[image], file),
                "split": split,
                **{ours: named(row[c], names.get(c)) for ours, c in columns.items()},
            }
            count[split] += 1


def main(
    source: Path,
    out: Path,
    image: str = "image",
    label: str | None = "label",
    columns: tuple[str, ...] = (),
    download: str | None = None,
    revision: str | None = None,
    missing: Missing = "error",
    overwrite: bool = False,
) -> None:
    """Write the dataset folder of an image set of the Hub.

    Args:
        source: Folder of Parquet files.
        out: Folder to write.
        image: Column of pictures.
        label: Column of labels. None: there is none.
        columns: Further columns to keep, as text.
        download: Set to fetch into `source` first.
        revision: Which revision of it. None: the newest.
        missing: A row without a picture: stop, or leave it out.
        overwrite: Replace an earlier folder.
    """
    if download is not None:
        from huggingface_hub import snapshot_download

        snapshot_download(
            download,
            repo_type="dataset",
            revision=revision,
            allow_patterns="*.parquet",
            local_dir=source,
        )
    files = sorted(f for f in source.rglob("*.parquet") if f.is_file())
    if not files:
        raise DataError(f"{source}: holds no .parquet file; fetch a set with --download USER/NAME")
    kept = {**({} if label is None else {"label": label}), **{name: name for name in columns}}
    with whole_folder(out, overwrite=overwrite, mark="images.parquet") as folder:
        listed = write_images(
            folder, source, rows(files, image, kept), columns=[*kept], encoded=True, missing=missing
        )
    print(listed.report(out))


if __name__ == "__main__":
    run_script(main)
