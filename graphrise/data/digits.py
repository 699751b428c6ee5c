"""scikit-learn's handwritten digits as a dataset folder: offline, seconds, for smoke tests."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from graphrise.data.files import whole_folder
from graphrise.data.simulate import SimulatorConfig, simulate_impressions
from graphrise.errors import DataError

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_digits(
    out: Path,
    *,
    simulator: SimulatorConfig | None = None,
    labelled: int = 20,
    overwrite: bool = False,
) -> int:
    """Write the digits dataset folder.

    A digit is the concept; its three keywords are its name, `even` or `odd`, and `low` or `high`.
    One image in `labelled` is a labelled gallery image; a tenth each are val and test queries.

    Args:
        out: Folder to write: `images.parquet`, `impressions.parquet`.
        simulator: Behaviour of the simulated users; None: 4,000 sessions.
        labelled: One image in this many is a labelled gallery image.
        overwrite: Replace an earlier folder.

    Returns:
        Number of images.

    Raises:
        DataError: scikit-learn is not installed, or `out` exists.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("the digits come with scikit-learn: pip install graphrise[demo]") from error
    digits: Any = load_digits()
    target = digits.target.astype(int)
    splits = np.array(["train"] * target.size, dtype=object)
    splits[::labelled] = "gallery"
    splits[1::10], splits[2::10] = "val", "test"
    rows = []
    for i, (pixels, digit, split) in enumerate(zip(digits.images, target, splits, strict=True)):
        buffer = io.BytesIO()
        grey = Image.fromarray((pixels * (255 / 16)).astype(np.uint8))
        grey.resize((16, 16), Image.Resampling.BILINEAR).save(buffer, format="PNG")
        rows.append(
            {
                "image_id": f"digit-{i}",
                "image": buffer.getvalue(),
                "split": split,
                "label": WORDS[digit] if split != "train" else None,
                "instance": WORDS[digit],
                "parity": "odd" if digit % 2 else "even",
            }
        )
    logged = [i for i, split in enumerate(splits) if split in ("train", "gallery")]
    impressions = simulate_impressions(
        [f"digit-{i}" for i in logged],
        [int(target[i]) for i in logged],
        {d: (WORDS[d], "odd" if d % 2 else "even", "low" if d < 5 else "high") for d in range(10)},
        simulator or SimulatorConfig(sessions=4_000, drop_unique_keywords=False),
    )
    with whole_folder(out, overwrite=overwrite, mark="images.parquet") as folder:
        pq.write_table(pa.Table.from_pylist(rows), folder / "images.parquet")
        pq.write_table(impressions, folder / "impressions.parquet")
    return len(rows)
