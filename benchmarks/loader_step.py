"""Part `step` of case `loader`: training steps a second, fed by the loader or by one kept batch.

The same module takes the same steps (encoder, head, edge term, backward, AdamW; augmentation too
where no core is left on which the loader augments ahead, as in `train`) in a plain loop, a stretch
with the loader and a stretch with one fixed batch in turn. Where the loader costs the encoder
nothing the two are equal.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from benchmarks.rows import Row
from benchmarks.steps import Steps
from graphrise.config import RunConfig
from graphrise.graph.store import Graph
from graphrise.train.folder import peak_mib

FLOOR = "one batch kept in memory"


def run(
    name: str, dataset: Path, graph: Graph, config: RunConfig, steps: int, repetitions: int
) -> list[Row]:
    """Time `repetitions` stretches of `steps` steps with either, after an epoch's warm-up."""
    ours = Steps(dataset, graph, config, ahead=True)
    kept = next(ours.batches)
    for _ in range(3):
        ours.step(kept)
        ours.step(next(ours.batches))
    rates: dict[str, list[float]] = {FLOOR: [], "real loader": []}
    for turn in range(2 * repetitions):
        # Each goes first as often as the other: a machine that grows slower favours neither.
        way = (FLOOR, "real loader")[(turn + turn // 2) % 2]
        start, count = time.perf_counter(), 0
        for _ in range(steps):
            count += ours.step(kept if way == FLOOR else next(ours.batches))
        rates[way].append(count / (time.perf_counter() - start))
    pairs = zip(rates["real loader"], rates[FLOOR], strict=True)
    print(f"{name}: median of the paired ratios {statistics.median(a / b for a, b in pairs):.3f}")
    return [
        Row(
            case="loader",
            variant=f"{name}: {way}",
            metric="training throughput",
            values=values,
            unit="images/s",
            baseline=FLOOR,
            baseline_values=rates[FLOOR],
            peak_mib=peak_mib(),
            size=f"batch {config.train.batch_size} and a drawn neighbour each, {steps} steps",
        )
        for way, values in rates.items()
    ]
