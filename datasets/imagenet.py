"""Write ImageNet-1k (ILSVRC 2012) as a dataset folder.

    python datasets/imagenet.py SOURCE OUT                    # val in folders by class too
    python datasets/imagenet.py SOURCE OUT --truth FILE       # val as published, flat

1,281,167 training and 50,000 validation pictures of 1,000 classes, about 145 GB (Russakovsky et
al., arXiv 1409.0575). Licence: non-commercial research and education, by the publisher's terms.
Expected: `train` with a folder of pictures for each class (n01440764, ...), and `val` with the
same or, with --truth, all pictures in it (ILSVRC2012_val_00000001.JPEG, ...). FILE is Kaggle's
`LOC_val_solution.csv`, or the devkit's `ILSVRC2012_validation_ground_truth.txt` with `meta.mat`
beside it (that needs `pip install scipy`). To be checked before unpacking, by the publisher's MD5:
ILSVRC2012_img_train.tar 1d675b47d978889d74fa0da5fadfb00e, ILSVRC2012_img_val.tar
29b22e2961454d5413ddabcf34fc5622. Checked here: every picture of the truth is there; counts that
are not the published ones are reported.

Splits: `train`, `val`; the test set has no labels and is left out. `label` is the WordNet id.
Protocol of Graph-RISE (arXiv 1902.10814): kNN top-1 and top-5, index `train`, queries `val`:

    graphrise evaluate RUN --gallery split=train --queries split=val
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from graphrise.cli.script import run_script
from graphrise.data.listing import Missing, fields, list_images, require_source
from graphrise.data.mat import read_structs
from graphrise.errors import DataError

PUBLISHED = {"train": 1_281_167, "val": 50_000}
TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def by_class(source: Path, split: str) -> Iterator[dict[str, str]]:
    """Pictures of one split that lie in folders by class."""
    classes = sorted(p.name for p in (source / split).glob("n*") if p.is_dir())
    if not classes:
        flat = "; its pictures are flat: give --truth FILE" if split == "val" else ""
        raise DataError(f"{source / split}: no folder of a class (n01440764, ...){flat}")
    for label in classes:
        for name in sorted(os.listdir(source / split / label)):
            if name.lower().endswith((".jpeg", ".jpg")):
                path = f"{split}/{label}/{name}"
                yield {
                    "image_id": os.path.splitext(name)[0],
                    "path": path,
                    "split": split,
                    "label": label,
                }


def flat_val(truth: Path) -> Iterator[dict[str, str]]:
    """Pictures of val that lie in one folder."""
    for name, label in kaggle_truth(truth) if truth.suffix == ".csv" else devkit_truth(truth):
        yield {"image_id": name, "path": f"val/{name}.JPEG", "split": "val", "label": label}


def kaggle_truth(truth: Path) -> Iterator[tuple[str, str]]:
    """Picture and class of LOC_val_solution.csv, whose boxes come after a class."""
    with truth.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            label = (row.get("PredictionString") or "").split()
            if "ImageId" not in row or not label:
                raise DataError(f"{truth}: expected are columns ImageId, PredictionString: {row}")
            yield row["ImageId"], label[0]


def devkit_truth(truth: Path) -> Iterator[tuple[str, str]]:
    """Picture and class of the devkit: line i is the number of the class of picture i."""
    meta = truth.with_name("meta.mat")
    require_source(truth.parent, meta.name)
    synsets = read_structs(meta, "synsets", ("ILSVRC2012_ID", "WNID"))
    wnid = {str(number): str(name) for number, name in synsets}
    for i, (number,) in enumerate(fields(truth, 1), 1):
        if number not in wnid:
            raise DataError(f"{truth}: class {number!r} of picture {i} is not one of {meta.name}")
        yield f"ILSVRC2012_val_{i:08d}", wnid[number]


def main(
    source: Path,
    out: Path,
    truth: Path | None = None,
    missing: Missing = "error",
    overwrite: bool = False,
) -> None:
    """Write the dataset folder of ImageNet-1k.

    Args:
        source: Folder with `train` and `val`.
        out: Folder to write.
        truth: Classes of val where its pictures lie flat. None: they lie in folders by class.
        missing: A picture of the truth that is not there: stop, or leave it out.
        overwrite: Replace an earlier folder.
    """
    require_source(source, "train", "val")
    if truth is not None and not truth.is_file():
        raise DataError(f"{truth}: no such file; expected is LOC_val_solution.csv or {TRUTH}")

    def rows() -> Iterator[dict[str, str]]:
        yield from by_class(source, "train")
        yield from by_class(source, "val") if truth is None else flat_val(truth)

    listed = list_images(out, source, rows(), missing=missing, overwrite=overwrite)
    print(listed.report(out, PUBLISHED))


if __name__ == "__main__":
    run_script(main)
