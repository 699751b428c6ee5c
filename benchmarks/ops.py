"""Case `ops`: every op's results looked at, then its time against peers and the floor, and memory.

One command for a CPU and for a GPU; on a rented one: `python -m benchmarks ops --device cuda`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from benchmarks import ops_edges, ops_rows, ops_segment, ops_softmax
from benchmarks.rows import Row
from graphrise.errors import ConfigError

PARTS: dict[str, Callable[[torch.device, int], list[Row]]] = {
    "segment": ops_segment.rows,
    "edges": ops_edges.rows,
    "rows": ops_rows.rows,
    "softmax": ops_softmax.rows,
}


def run(only: Sequence[str], device: str, repetitions: int) -> list[Row]:
    """Measure and give the rows.

    Args:
        only: Parts to run, of `PARTS`.
        device: "cpu" or "cuda".
        repetitions: Timed calls of every way.

    Raises:
        ConfigError: There is no such device here.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("ops: --device cuda, but PyTorch sees no GPU here")
    return [row for part in only for row in PARTS[part](torch.device(device), repetitions)]
