"""Write CUB-200-2011 as a dataset folder: pictures of birds.

    python datasets/cub.py CUB_200_2011 OUT

11,788 pictures of 200 species, 1.1 GB (Wah et al., Caltech CNS-TR-2011-001). Licence: not stated
in the archive; the pictures are Flickr users'. Expected is the unpacked archive: `images.txt`
(image, path), `image_class_labels.txt` (image, class), `classes.txt` (class, name) and the folder
`images`. Checked: every listed picture is there and has a class; counts that are not the published
ones are reported.

Splits: `train` (classes 1 to 100, 5,864 pictures), `test` (101 to 200, 5,924). This is the field's
split for retrieval (Song et al., arXiv 1511.06452), not the one for classification that
`train_test_split.txt` has. `label` is the species. Protocol: recall@1, 2, 4 and 8, every test
picture a query among all other test pictures:

    graphrise evaluate RUN --gallery split=test --queries split=test
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from graphrise.cli.script import run_script
from graphrise.data.listing import Missing, fields, list_images, require_source
from graphrise.errors import DataError

TRAIN_CLASSES = 100
PUBLISHED = {"train": 5_864, "test": 5_924}


def rows(source: Path) -> Iterator[dict[str, str]]:
    """Images of images.txt."""
    labels = source / "image_class_labels.txt"
    class_of = dict(fields(labels, 2))
    name_of = dict(fields(source / "classes.txt", 2))
    for image, path in fields(source / "images.txt", 2):
        number = class_of.get(image)
        if number is None or number not in name_of:
            raise DataError(f"{labels}: image {image} ({path}) has no class of classes.txt")
        yield {
            "image_id": image,
            "path": f"images/{path}",
            "split": "train" if int(number) <= TRAIN_CLASSES else "test",
            "label": name_of[number],
        }


def main(source: Path, out: Path, missing: Missing = "error", overwrite: bool = False) -> None:
    """Write the dataset folder of CUB-200-2011.

    Args:
        source: The unpacked archive.
        out: Folder to write.
        missing: A listed picture that is not there: stop, or leave it out.
        overwrite: Replace an earlier folder.
    """
    require_source(source, "images.txt", "image_class_labels.txt", "classes.txt", "images")
    listed = list_images(out, source, rows(source), missing=missing, overwrite=overwrite)
    print(listed.report(out, PUBLISHED))


if __name__ == "__main__":
    run_script(main)
