"""Part `stream` of case `evaluate`: one search in a process of its own.

python -m benchmarks.evaluate_worker SETTINGS
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from benchmarks.child import first_to_go, own_peak_mib
from graphrise.evaluate import search_blocks


def main(settings: str) -> None:
    """Search, and print seconds and peak memory."""
    first_to_go()
    given = json.loads(settings)
    shape = (given["queries"], given["dim"])
    queries = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    start = time.perf_counter()
    scores, index = search_blocks(queries, np.load(given["file"], mmap_mode="r"), given["k"])
    seconds = time.perf_counter() - start
    assert np.isfinite(scores).all()
    assert (index >= 0).all()
    print(json.dumps({"seconds": seconds, "peak_mib": own_peak_mib()}))


if __name__ == "__main__":
    main(sys.argv[1])
