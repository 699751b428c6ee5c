"""Write In-Shop Clothes Retrieval (DeepFashion) as a dataset folder.

    python datasets/inshop.py SOURCE OUT

52,712 pictures of 7,982 items of clothing (Liu et al., CVPR 2016); size not stated. Licence:
non-commercial research, by the publisher's agreement. Expected: `list_eval_partition.txt`, in
SOURCE or in `Eval` (a line with the number of images, a line of header; path, item, part), and the
pictures in `img`, in SOURCE or in `Img`. Checked: the list is as long as its first line says, and
every listed picture is there; counts that are not the published ones are reported.

Splits: `train` (25,882 pictures of 3,997 items), `query` (14,218 of 3,985 others) and `index`
(12,612 of the same). `index` is the list's `gallery`: a split of that name would become nodes of
the graph, and training would see the labels it is tested on. `label` is the item, `category` the
kind of clothing. Protocol, of that paper: recall@1, 10, 20 and 30 of queries in the index:

    graphrise evaluate RUN --gallery split=index --queries split=query
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from graphrise.cli.script import run_script
from graphrise.data.listing import Missing, fields, list_images, require_source
from graphrise.errors import DataError

LIST = "list_eval_partition.txt"
SPLITS = {"train": "train", "query": "query", "gallery": "index"}
PUBLISHED = {"train": 25_882, "query": 14_218, "index": 12_612}


def rows(file: Path, pictures: str) -> Iterator[dict[str, str]]:
    """Images of the list; `pictures` is where its paths start, relative to the source."""
    stated = next(fields(file, 1), ["nothing"])[0]
    count = 0
    for path, item, part in fields(file, 3, skip=2):
        if part not in SPLITS:
            raise DataError(f"{file}: {path} is of part {part!r}, not {', '.join(SPLITS)}")
        count += 1
        yield {
            "image_id": path,
            "path": pictures + path,
            "split": SPLITS[part],
            "label": item,
            "category": "/".join(path.split("/")[1:3]),
        }
    if stated != str(count):
        raise DataError(f"{file}: lists {count} images, its first line says {stated}")


def main(source: Path, out: Path, missing: Missing = "error", overwrite: bool = False) -> None:
    """Write the dataset folder of In-Shop Clothes Retrieval.

    Args:
        source: Folder with the list and the pictures.
        out: Folder to write.
        missing: A listed picture that is not there: stop, or leave it out.
        overwrite: Replace an earlier folder.
    """
    name = f"Eval/{LIST}" if (source / "Eval" / LIST).is_file() else LIST
    pictures = "Img/" if (source / "Img" / "img").is_dir() else ""
    require_source(source, name, f"{pictures}img")
    listed = list_images(
        out,
        source,
        rows(source / name, pictures),
        columns=("label", "category"),
        missing=missing,
        overwrite=overwrite,
    )
    print(listed.report(out, PUBLISHED))


if __name__ == "__main__":
    run_script(main)
