"""Write Stanford Online Products (SOP) as a dataset folder: pictures of eBay's products.

    python datasets/sop.py Stanford_Online_Products OUT

120,053 pictures of 22,634 products of 12 kinds, about 3 GB (Song et al., arXiv 1511.06452).
Licence: in the archive's own LICENSE file. Expected is the unpacked archive: `Ebay_train.txt`,
`Ebay_test.txt` (a line of header; image, class, super class, path) and a folder of pictures for
each kind. Checked: every listed picture is there; counts that are not the published ones are
reported.

Splits: `train` (59,551 pictures of 11,318 products), `test` (60,502 of 11,316 others). `label` is
the product, `super_class` its kind. The field's protocol, of that paper: recall@1, 10, 100 and
1,000, every test picture a query among all other test pictures:

    graphrise evaluate RUN --gallery split=test --queries split=test
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from graphrise.cli.script import run_script
from graphrise.data.listing import Missing, fields, list_images, require_source

LISTS = {"train": "Ebay_train.txt", "test": "Ebay_test.txt"}
PUBLISHED = {"train": 59_551, "test": 60_502}


def rows(source: Path) -> Iterator[dict[str, str]]:
    """Images of both lists."""
    for split, name in LISTS.items():
        for image, product, _, path in fields(source / name, 4, skip=1):
            yield {
                "image_id": image,
                "path": path,
                "split": split,
                "label": product,
                "super_class": path.split("/")[0].removesuffix("_final"),
            }


def main(source: Path, out: Path, missing: Missing = "error", overwrite: bool = False) -> None:
    """Write the dataset folder of Stanford Online Products.

    Args:
        source: The unpacked archive.
        out: Folder to write.
        missing: A listed picture that is not there: stop, or leave it out.
        overwrite: Replace an earlier folder.
    """
    require_source(source, *LISTS.values())
    listed = list_images(
        out,
        source,
        rows(source),
        columns=("label", "super_class"),
        missing=missing,
        overwrite=overwrite,
    )
    print(listed.report(out, PUBLISHED))


if __name__ == "__main__":
    run_script(main)
