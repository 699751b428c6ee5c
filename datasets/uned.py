"""Write UnED (Universal Embedding Dataset) as a dataset folder: eight domains in one.

    python datasets/uned.py data OUT [--domains '[cars,sop]']

2.8 million training pictures of 349 thousand classes, 241 thousand queries, an index of 1.4 million
(Ypsilantis et al., ICCV 2023); size not stated. Licences: those of the eight sets. Expected is the
folder `data` that the publisher's instructions make: `info_files/DOMAIN/SPLIT.json` (a list of
{"path", "class_id"}, from the publisher's info_files.zip) and the unpacked sets in `images`.
Checked: every listed picture is there; counts of training pictures that are not the published ones
are reported. Some file names of RP2K are not ASCII: where unpacking changed them the pictures are
missing here.

Splits, the publisher's: `train`, `val` and `test` of every domain, `index` of inshop, met and
gldv2, `small_index` of met. A picture of two splits (met's train and index) stands here twice.
`label` is DOMAIN-CLASS (the first of several classes), `set` is DOMAIN/SPLIT, `merged` is `test`
for what is in the merged index (`index` of these three domains, `test` of the others), else null.

The publisher's standard protocol: one index of all domains, the queries of each domain by
themselves, recall@1 and mMP@5 (`mmp@5`) of each and their unweighted mean, which is shown below
them as `mean`. A query that lies in the index is left out of its own neighbours, one without a
right picture there of the score, and counted:

    graphrise evaluate RUN --gallery merged=test --queries set=cars/test set=sop/test \
        set=inshop/test set=inat/test set=met/test set=gldv2/test set=food2k/test set=rp2k/test

The "separate" protocol asks in one domain at a time:

    graphrise evaluate RUN --gallery set=cars/test --queries set=cars/test
    graphrise evaluate RUN --gallery set=met/index --queries set=met/test
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphrise.cli.script import run_script
from graphrise.data.json_items import json_items
from graphrise.data.listing import Missing, list_images, require_source
from graphrise.errors import DataError

TRAIN = {
    "cars": 6_346,
    "sop": 48_942,
    "inshop": 20_897,
    "inat": 273_929,
    "met": 397_121,
    "gldv2": 1_422_914,
    "food2k": 472_349,
    "rp2k": 188_724,
}
"""Training pictures by domain, as published."""
WITH_INDEX = {"inshop": ("index",), "met": ("index", "small_index"), "gldv2": ("index",)}


def index_of(domain: str) -> str:
    """The split of a domain that the merged index holds."""
    return "index" if domain in WITH_INDEX else "test"


def lists_of(domain: str) -> list[str]:
    """Lists of a domain, relative to the source."""
    splits = ("train", "val", "test", *WITH_INDEX.get(domain, ()))
    return [f"info_files/{domain}/{split}.json" for split in splits]


def rows(source: Path, domains: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Images of all lists."""
    for name in (name for domain in domains for name in lists_of(domain)):
        domain, split = Path(name).parts[1], Path(name).stem
        for _, image in json_items(source / name):
            try:
                path, label = image["path"], image["class_id"]
            except (KeyError, TypeError) as error:
                raise DataError(f"{source / name}: {image} lacks path or class_id") from error
            if isinstance(label, list):
                label = label[0] if label else None
            yield {
                "image_id": f"{split}:{path}",
                "path": f"images/{path}",
                "split": split,
                "label": None if label is None else f"{domain}-{label}",
                "domain": domain,
                "set": f"{domain}/{split}",
                "merged": "test" if split == index_of(domain) else None,
            }


def main(
    source: Path,
    out: Path,
    domains: tuple[str, ...] = tuple(TRAIN),
    missing: Missing = "error",
    overwrite: bool = False,
) -> None:
    """Write the dataset folder of UnED.

    Args:
        source: Folder with `info_files` and `images`.
        out: Folder to write.
        domains: Those to write.
        missing: A listed picture that is not there: stop, or leave it out.
        overwrite: Replace an earlier folder.
    """
    unknown = sorted(set(domains) - set(TRAIN))
    if unknown or not domains:
        raise DataError(f"domains: {unknown or 'none'} given; there are {', '.join(TRAIN)}")
    require_source(source, "images", *(name for domain in domains for name in lists_of(domain)))
    columns = ("label", "domain", "set", "merged")
    listed = list_images(
        out, source, rows(source, domains), columns=columns, missing=missing, overwrite=overwrite
    )
    print(listed.report(out, {"train": sum(TRAIN[domain] for domain in domains)}))


if __name__ == "__main__":
    run_script(main)
