"""Write Marqo-GS-10M as a dataset folder: products, and queries with the rank each product had.

    hf download Marqo/marqo-GS-10M --repo-type dataset --local-dir SOURCE
    python datasets/marqo.py SOURCE OUT

9.81 million pairs of a query and a product of Google Shopping, with score and picture (Zhu et al.,
arXiv 2404.08535); size not stated. Licence: Apache-2.0. Expected is the form on Hugging Face:
`data/SPLIT-*.parquet` of the splits in_domain, novel_query, novel_document and zero_shot, with
columns query, product_id, position, title, score_linear and image. (The archives with CSV files are
another form and are not read.) Checked: columns, and that every product has a picture; the
publisher states no count of products.

The publisher splits queries (80:20) and products (50:50). Splits here are those of the products:
`train` (in_domain, novel_query) and `novel` (novel_document, zero_shot). A product stands in many
pairs; its picture is written once, from the first. `clicks.parquet` holds the pairs of in_domain
alone, with score_linear (it falls with the position) for clicks. Columns: `query`, that of the
product's first pair, and `title`. The publisher's protocol, nDCG@10 of products for a query, needs
an encoder of text; among pictures, a run trained with `--evaluate.label query` is asked for
products of the same query:

    graphrise evaluate RUN --gallery split=novel --queries split=novel

Run `graphrise pack OUT` before training: the pictures are otherwise read into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from graphrise.cli.script import run_script
from graphrise.data.files import whole_folder
from graphrise.data.listing import Missing, write_images, write_rows
from graphrise.data.parquet_rows import parquet_rows, picture
from graphrise.data.tables import check_columns
from graphrise.errors import DataError

SPLITS = {
    "in_domain": "train",
    "novel_query": "train",
    "novel_document": "novel",
    "zero_shot": "novel",
}
COLUMNS = ("product_id", "query", "title", "image")
CLICKS = pa.schema([("query", pa.string()), ("image_id", pa.string()), ("clicks", pa.int64())])


def first_rows(files: list[Path]) -> list[np.ndarray]:
    """For each file, bool `[rows]`: those whose product is in no row before."""
    columns = []
    for file in files:
        check_columns(file, COLUMNS)
        columns.extend(pq.ParquetFile(file).read(["product_id"]).column(0).chunks)
    encoded = pa.chunked_array(columns).combine_chunks().dictionary_encode()
    first = np.zeros(len(encoded), dtype=bool)
    first[np.unique(encoded.indices.to_numpy(), return_index=True)[1]] = True
    ends = np.cumsum([pq.read_metadata(file).num_rows for file in files])
    return np.split(first, ends[:-1])


def images(files: dict[Path, str]) -> Iterator[dict[str, Any]]:
    """Every product once."""
    for file, first in zip(files, first_rows(list(files)), strict=True):
        for row in parquet_rows(file, COLUMNS, keep=first):
            yield {
                "image_id": str(row["product_id"]),
                "image": picture(row["image"], file),
                "split": files[file],
                "query": row["query"],
                "title": row["title"],
            }


def clicks(files: list[Path]) -> Iterator[dict[str, Any]]:
    """Pairs of a query and a product, the score for clicks."""
    for file in files:
        for row in parquet_rows(file, ("query", "product_id", "score_linear")):
            yield {
                "query": row["query"],
                "image_id": str(row["product_id"]),
                "clicks": row["score_linear"],
            }


def main(source: Path, out: Path, missing: Missing = "error", overwrite: bool = False) -> None:
    """Write the dataset folder of Marqo-GS-10M.

    Args:
        source: The folder that was downloaded.
        out: Folder to write.
        missing: A product without a picture: stop, or leave it out.
        overwrite: Replace an earlier folder.
    """
    found = {name: sorted(source.glob(f"data/{name}-*.parquet")) for name in SPLITS}
    if not found["in_domain"]:
        raise DataError(f"{source}: no data/in_domain-*.parquet; expected is the folder of `hf`")
    files = {file: SPLITS[name] for name, some in found.items() for file in some}
    columns = ("query", "title")
    with whole_folder(out, overwrite=overwrite, mark="images.parquet") as folder:
        listed = write_images(
            folder, source, images(files), columns=columns, encoded=True, missing=missing
        )
        count = write_rows(folder / "clicks.parquet", clicks(found["in_domain"]), CLICKS)
    print(listed.report(out))
    print(f"{count:,} pairs of a query and a product; no file of: ", end="")
    print(", ".join(name for name, some in found.items() if not some) or "none")


if __name__ == "__main__":
    run_script(main)
