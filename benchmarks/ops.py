"""Case `ops`: every op's results looked at, then its time against peers and the floor, and memory.

One command for a CPU and for a GPU; on a rented one: `python -m benchmarks ops --device cuda`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence

import torch

from benchmarks import ops_edges, ops_rows, ops_segment, ops_softmax
from benchmarks.ops_trial import broken, failures, freed
from benchmarks.rows import Row
from graphrise.errors import ConfigError, GraphriseError

PARTS: dict[str, Callable[[torch.device, int], list[Row]]] = {
    "segment": ops_segment.rows,
    "edges": ops_edges.rows,
    "rows": ops_rows.rows,
    "softmax": ops_softmax.rows,
}


def run(only: Sequence[str], device: str, repetitions: int) -> Iterator[list[Row]]:
    """Measure and give the rows of one part after the other.

    Args:
        only: Parts to run, of `PARTS`.
        device: "cpu" or "cuda".
        repetitions: Timed calls of every way.

    Returns:
        Rows, of parts. What a peer cannot do is said in its rows. Where an op of ours fails or its
        results are wrong, its rows say so, and after the last part a GraphriseError is raised.

    Raises:
        ConfigError: There is no such device here.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("ops: --device cuda, but PyTorch sees no GPU here")
    return _parts(only, torch.device(device), repetitions)


def _parts(only: Sequence[str], device: torch.device, repetitions: int) -> Iterator[list[Row]]:
    failed: list[str] = []
    for part in only:
        freed()
        try:
            found = PARTS[part](device, repetitions)
        except Exception as error:
            traceback.print_exc()
            found = [broken(part, error)]
        failed += failures(found)
        yield found
    if failed:
        raise GraphriseError("\n".join(("ops: no figures of ours for", *failed)))
