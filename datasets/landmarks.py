"""Write Google Landmarks v2 (GLDv2) as a dataset folder.

    python datasets/landmarks.py SOURCE OUT [--clean false] [--train_only true]

4,132,914 training pictures of 203,094 landmarks, of them 1,580,470 of 81,313 in the cleaned set;
761,757 of the index, 117,577 of the test; about 600 GB packed (Weyand et al., arXiv 2004.01804;
cleaned: Yokoo et al., arXiv 2003.11211). Licence: lists CC BY 4.0; training pictures CC BY, the
others CC0 or public domain. Expected are the lists in SOURCE: `train_clean.csv` (landmark and its
images) or with --clean false `train.csv` (id,url,landmark_id), `index_image_to_landmark.csv`
(id,landmark_id), `retrieval_solution_v2.1.csv` (id,images,Usage); and the pictures unpacked as
`train/0/1/2/0123....jpg`, likewise `index` and `test`. The publisher has an MD5 for every archive;
its download script checks them. Checked here: every listed picture is there; counts that are not
the published ones are reported.

Splits: `train`, `index`, `test`; test pictures that the solution ignores are left out and counted.
`label` is the landmark; those of training and index are numbered apart by the publisher, so the
index's begin with `i`. A test picture has the landmark of most of its solution's index pictures:
the solution itself, of several landmarks for some, is not kept, so recall here is near to the
publisher's mAP@100 on the Private part, not the same. Column `usage`: Public or Private.

    graphrise evaluate RUN --gallery split=index --queries usage=Public usage=Private
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from graphrise.cli.script import run_script
from graphrise.data.listing import Missing, list_images, require_source
from graphrise.errors import DataError

CLEAN, FULL = "train_clean.csv", "train.csv"
INDEX, SOLUTION = "index_image_to_landmark.csv", "retrieval_solution_v2.1.csv"
PUBLISHED = {CLEAN: 1_580_470, FULL: 4_132_914}


def lines(file: Path, header: str) -> Iterator[list[str]]:
    """Lines of a list; not by `csv`, which refuses fields as long as a landmark's images."""
    width = header.count(",") + 1
    with file.open(encoding="utf-8") as stream:
        found = stream.readline().strip()
        if found != header:
            raise DataError(f"{file}: first line is {found[:80]!r}, expected is {header!r}")
        for number, line in enumerate(stream, 2):
            row = line.rstrip("\r\n").split(",")
            if len(row) != width:
                raise DataError(f"{file}: line {number} has {len(row)} fields, expected {width}")
            yield row


def row(split: str, image: str, label: str, usage: str | None = None) -> dict[str, str | None]:
    """An image of the list."""
    path = f"{split}/{'/'.join(image[:3])}/{image}.jpg"
    return {"image_id": image, "path": path, "split": split, "label": label, "usage": usage}


def train_rows(source: Path, clean: bool) -> Iterator[dict[str, str | None]]:
    """Images for training."""
    if clean:
        for landmark, images in lines(source / CLEAN, "landmark_id,images"):
            yield from (row("train", image, landmark) for image in images.split())
    else:
        for image, _, landmark in lines(source / FULL, "id,url,landmark_id"):
            yield row("train", image, landmark)


def test_rows(source: Path, ignored: Counter[str]) -> Iterator[dict[str, str | None]]:
    """Images of index and test; `ignored` counts those of the test without a solution."""
    landmark_of = dict(lines(source / INDEX, "id,landmark_id"))
    for image, landmark in landmark_of.items():
        yield row("index", image, f"i{landmark}")
    for image, found, usage in lines(source / SOLUTION, "id,images,Usage"):
        known = Counter(landmark_of[one] for one in found.split() if one in landmark_of)
        if known:
            yield row("test", image, f"i{known.most_common(1)[0][0]}", usage)
        else:
            ignored[usage] += 1


def main(
    source: Path,
    out: Path,
    clean: bool = True,
    train_only: bool = False,
    missing: Missing = "error",
    overwrite: bool = False,
) -> None:
    """Write the dataset folder of Google Landmarks v2.

    Args:
        source: Folder with the lists and the folders of pictures.
        out: Folder to write.
        clean: The cleaned training set instead of the full one.
        train_only: Without index and test.
        missing: A listed picture that is not there: stop, or leave it out.
        overwrite: Replace an earlier folder.
    """
    train = CLEAN if clean else FULL
    require_source(source, train, "train", *(() if train_only else (INDEX, SOLUTION)))
    ignored: Counter[str] = Counter()

    def rows() -> Iterator[dict[str, str | None]]:
        yield from train_rows(source, clean)
        if not train_only:
            yield from test_rows(source, ignored)

    columns = ("label", "usage")
    listed = list_images(out, source, rows(), columns=columns, missing=missing, overwrite=overwrite)
    index = {} if train_only else {"index": 761_757}
    print(listed.report(out, {"train": PUBLISHED[train], **index}))
    if ignored:
        print(f"note: {ignored.total():,} test images without a solution left out")


if __name__ == "__main__":
    run_script(main)
