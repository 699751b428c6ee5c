"""The list of pictures that a run could not read."""

from __future__ import annotations

import csv
from pathlib import Path

from graphrise.data.files import whole_file
from graphrise.graph.store import Graph
from graphrise.images.readers import Reader

FILE = "bad_images.csv"


def list_bad_images(run: Path, graph: Graph, reader: Reader, bad: dict[int, str]) -> list[str]:
    """Write `bad_images.csv` (image_id, source, reason) to a run folder, if there is any.

    Args:
        run: Run folder.
        graph: Names the images.
        reader: Knows where they are.
        bad: Node and reason of each.

    Returns:
        What a user should know: nothing, or how many there were and where they are listed.
    """
    if not bad:
        return []
    with (
        whole_file(run / FILE) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as f,
    ):
        rows = csv.writer(f)
        rows.writerow(("image_id", "source", "reason"))
        for node, reason in sorted(bad.items()):
            rows.writerow((graph.image_ids[node], reader.source(node), reason))
    return [f"{len(bad):,} images could not be read and counted nothing: {run / FILE}"]
