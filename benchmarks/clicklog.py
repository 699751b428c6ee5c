"""A seeded click log of any size: Zipf-like queries, position-biased clicks, many part files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from graphrise.ops.counter_random import counter_uniform

pc: Any = pyarrow.compute  # its functions are made at import; type checkers see none

SHOWN = 20
"""Images in a result list."""
ROWS_PER_PART = 5_000_000


def write_click_log(folder: Path, impressions: int, seed: int = 0) -> Path:
    """Write `images.parquet` and `impressions.parquet/` (part files) of a made catalogue.

    A session is one query, drawn with probability about 1 / rank, and SHOWN images from the
    query's own stretch of the catalogue, best first; stretches of queries overlap. A click needs
    attention, which falls with the position, and relevance, which is the pair's own. There are
    a hundred times fewer images, and as many fewer queries, than impressions.

    Args:
        folder: Dataset folder, made if missing.
        impressions: Rows; rounded down to whole lists.
        seed: Everything follows from it; part files do not depend on their number.
    """
    images = max(SHOWN * 40, impressions // 100)
    (folder / "impressions.parquet").mkdir(parents=True, exist_ok=True)
    numbers = pa.array(np.arange(images))
    table = pa.table(
        {
            "image_id": _named("image-", numbers),
            "path": _named("images/", numbers),
            "split": pa.array(["train"]).take(pa.array(np.zeros(images, dtype=np.int64))),
        }
    )
    pq.write_table(table, folder / "images.parquet")
    sessions, step = impressions // SHOWN, ROWS_PER_PART // SHOWN
    for part, first in enumerate(range(0, sessions, step)):
        session = np.arange(first, min(first + step, sessions))
        file = folder / "impressions.parquet" / f"part-{part:05}.parquet"
        pq.write_table(_rows(session, images, seed), file)
    return folder


def _rows(session: np.ndarray, images: int, seed: int) -> pa.Table:
    queries = images
    # Log-uniform: P(rank) = ln(1 + 1 / (rank + 1)) / ln(queries + 1).
    rank = np.exp(counter_uniform(seed, 1, session) * np.log(queries + 1)).astype(np.int64) - 1
    start = (counter_uniform(seed, 2, rank) * images).astype(np.int64)[:, None]
    place = np.arange(SHOWN)
    gap = np.exp(counter_uniform(seed, 3, session[:, None], place) * np.log(40)).astype(np.int64)
    image = (start + np.cumsum(gap, axis=1)) % images
    relevance = counter_uniform(seed, 4, rank[:, None], image)
    attention = 0.5 / (1 + 0.2 * place)
    clicked = counter_uniform(seed, 5, session[:, None], place) < attention * relevance
    columns = {
        "session": pa.array(np.repeat(session, SHOWN)),
        "query": _named("query ", pa.array(np.repeat(rank, SHOWN))),
        "image_id": _named("image-", pa.array(image.ravel())),
        "clicked": pa.array(clicked.ravel()),
    }
    return pa.table(columns)


def _named(prefix: str, numbers: pa.Array) -> pa.Array:
    text = pc.cast(numbers, pa.string())
    return pc.binary_join_element_wise(pa.scalar(prefix), text, pa.scalar(""))
