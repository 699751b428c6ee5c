"""Write iNaturalist 2017 or 2021 as a dataset folder: pictures of species.

    python datasets/inaturalist.py SOURCE OUT --year 2021 [--mini true]

2017: 675,170 pictures of 5,089 species, 186 GB packed (Van Horn et al., arXiv 1707.06642).
2021: 2,786,843 pictures of 10,000 species, 232 GB packed, or 600,000 and 50 GB with the small
training set (Van Horn et al., arXiv 2103.16483). Licence: non-commercial research and education;
pictures must not be passed on. Expected are the unpacked archives: for 2017 `train2017.json`,
`val2017.json` and `train_val_images`; for 2021 `train.json` (or `train_mini.json`), `val.json` and
the folders of the same names. To be checked before unpacking, by the publisher's MD5: 2017
train_val_images.tar.gz 7c784ea5e424efaec655bd392f87301f; 2021 train.tar.gz
e0526d53c7f7b2e3167b2b43bb2690ed, train_mini.tar.gz db6ed8330e634445efc8fec83ae81442, val.tar.gz
f6f6e0e242e3d4c9569ba56400938afc. Checked here: every listed picture is there and has a class;
counts that are not the published ones are reported.

Splits: `train`, `val`; the test sets have no labels and are left out. `label` is the species,
`supercategory` and, in 2021, `kingdom` to `genus` are coarser. Protocol of Graph-RISE (arXiv
1902.10814): kNN top-1 and top-5, index `train`, queries `val`:

    graphrise evaluate RUN --gallery split=train --queries split=val
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from graphrise.cli.script import run_script
from graphrise.data.json_items import json_items
from graphrise.data.listing import Missing, list_images, require_source
from graphrise.errors import DataError

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus")
PUBLISHED = {
    "2017": {"train": 579_184, "val": 95_986},
    "2021": {"train": 2_686_843, "val": 100_000},
    "2021 mini": {"train": 500_000, "val": 100_000},
}


def read_annotations(file: Path) -> tuple[dict[int, dict[str, Any]], np.ndarray]:
    """Categories by id, and int64 `[N, 2]`: image and its category, sorted by image."""
    categories = {}

    def pairs() -> Iterator[tuple[int, int]]:
        for key, item in json_items(file):
            if key == "categories":
                categories[item["id"]] = item
            elif key == "annotations":
                yield item["image_id"], item["category_id"]

    found = np.fromiter(pairs(), dtype=np.dtype((np.int64, 2)))
    return categories, found[np.argsort(found[:, 0], kind="stable")]


def rows(source: Path, lists: dict[str, str]) -> Iterator[dict[str, str | None]]:
    """Images of the annotation files by split."""
    for split, name in lists.items():
        file = source / name
        try:
            categories, of_image = read_annotations(file)
            for key, image in json_items(file):
                if key != "images":
                    continue
                place = int(np.searchsorted(of_image[:, 0], image["id"]))
                if place == len(of_image) or of_image[place, 0] != image["id"]:
                    raise DataError(f"{file}: {image['file_name']} has no annotation")
                category = categories[int(of_image[place, 1])]
                yield {
                    "image_id": image["file_name"],
                    "path": image["file_name"],
                    "split": split,
                    "label": category["name"],
                    **{rank: category.get(rank) for rank in ("supercategory", *RANKS)},
                }
        except (KeyError, TypeError) as error:
            raise DataError(f"{file}: not iNaturalist's annotations, lacks {error}") from error


def main(
    source: Path,
    out: Path,
    year: Literal[2017, 2021] = 2021,
    mini: bool = False,
    missing: Missing = "error",
    overwrite: bool = False,
) -> None:
    """Write the dataset folder of iNaturalist.

    Args:
        source: Folder with the annotation files and the folders of pictures.
        out: Folder to write.
        year: Which of the sets.
        mini: Of 2021, the training set of 50 pictures a species.
        missing: A listed picture that is not there: stop, or leave it out.
        overwrite: Replace an earlier folder.
    """
    train = "train_mini" if mini else "train"
    if year == 2017:
        if mini:
            raise DataError("iNaturalist 2017 has no small training set; leave out --mini")
        lists, folders = {"train": "train2017.json", "val": "val2017.json"}, ["train_val_images"]
    else:
        lists, folders = {"train": f"{train}.json", "val": "val.json"}, [train, "val"]
    require_source(source, *lists.values(), *folders)
    columns = ("label", "supercategory", *(() if year == 2017 else RANKS))
    listed = list_images(
        out, source, rows(source, lists), columns=columns, missing=missing, overwrite=overwrite
    )
    print(listed.report(out, PUBLISHED[f"{year} mini" if mini else str(year)]))


if __name__ == "__main__":
    run_script(main)
