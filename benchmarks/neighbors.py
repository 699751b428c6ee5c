"""Case `neighbors`: ways to bring neighbours in, at equal encoder passes and at equal wall time.

The emoji models of case `train`, with the labels as given and spread over the graph. Every image
that is encoded counts as a pass, those without gradient too. A way whose passes take longer than
cross-entropy's gets as many fewer in a second run, a faster one as many more: equal time. How long
passes take is measured by itself, by steps of all ways in turn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import Row
from benchmarks.speeds import speeds
from benchmarks.train import rows_of
from graphrise.config import EdgeConfig, RunConfig
from graphrise.demo.compare import compare
from graphrise.demo.drive import demo_runs, with_passes
from graphrise.demo.variants import BASELINE, FEATURED, Variant
from graphrise.errors import ConfigError
from graphrise.evaluate.report import write_report
from graphrise.recipes import RECIPES
from graphrise.train.folder import read_run

EQUAL_TIME = ", equal time"
NEAR = 0.03
"""Share of time that two ways may differ by and still count as equally fast."""

SUBGRAPH: dict[str, Any]
BANK: dict[str, Any]
SUBGRAPH, BANK = {"sampler": "subgraph"}, {"embeddings": "bank", "neighbors": 4}
# Strengths: the best of a sweep on facebook, seed 0 (LOG.md).
GIVEN = {
    "pairs": EdgeConfig(alpha=1.0),
    "subgraph, groups of 4, fan-out 1": EdgeConfig(alpha=3.0, group_size=4, **SUBGRAPH),
    "subgraph, groups of 8": EdgeConfig(alpha=3.0, group_size=8, fanouts=(), **SUBGRAPH),
    "stop-gradient": EdgeConfig(alpha=3.0, embeddings="stop_gradient"),
    "bank": EdgeConfig(alpha=3.0, **BANK),
    "bank, groups of 8": EdgeConfig(
        alpha=3.0, group_size=8, fanouts=(4,), embeddings="bank", **SUBGRAPH
    ),
}
SPREAD = {
    "pairs": EdgeConfig(alpha=0.3),
    "subgraph, groups of 4": EdgeConfig(alpha=0.3, group_size=4, fanouts=(), **SUBGRAPH),
    "stop-gradient": EdgeConfig(alpha=0.3, embeddings="stop_gradient"),
    "bank": EdgeConfig(alpha=1.0, **BANK),
}
CONTROLS = ("pairs", "subgraph, groups of 8", "bank", "spread + bank")
"""Ways that get a control."""


def run(out: Path, seeds: int, passes: int, only: Sequence[str] = ()) -> list[Row]:
    """Train what is missing under `out`, and give the rows.

    Args:
        out: Working folder; finished runs of the same settings are used again.
        seeds: Seeds per way.
        passes: Encoder passes per run.
        only: Names of ways; the two without edges always are. Empty: all.

    Raises:
        ConfigError: A name in `only` is none of theirs.
    """
    models = _ways(with_passes(RECIPES["emoji"](), passes))
    unknown = set(only) - {m.name for m in models}
    if unknown:
        raise ConfigError(f"no way {sorted(unknown)}; there are {[m.name for m in models]}")
    models = [m for m in models if not only or m.name in {BASELINE, FEATURED, *only}]
    first, dataset = demo_runs(out, models, data="emoji", fast=False, seeds=seeds, jobs=None)
    speed = speeds(dataset, {m.name: m.config for m in models}, out / "speeds.json")
    again = [v for m in models if (v := equal_time(m, speed, passes))]
    trained = list(first)
    if again:
        trained += demo_runs(out, again, data="emoji", fast=False, seeds=seeds, jobs=None)[0]
    report = compare(dataset, trained, models[0].config.evaluate, "python -m benchmarks neighbors")
    write_report(out / "neighbors.html", report)
    peaks = {m.variant.name: max(read_run(r)[2].peak_mib for r in m.runs) for m in trained}
    budgets = {m.variant.name: m.variant.config.train.passes for m in trained}
    rows: list[Row] = []
    for model in report.models:
        size = f"4,188 images in the graph, {budgets[model.name]:,} passes, {seeds} seeds"
        rows += rows_of(report, model, peaks[model.name], size)
    return [dataclasses.replace(row, case="neighbors") for row in rows]


def _ways(recipe: RunConfig) -> list[Variant]:
    def way(name: str, what: str, edges: EdgeConfig, *, spread: bool, **control: int) -> Variant:
        labels = dataclasses.replace(recipe.labels, spread=spread)
        return Variant(
            name, what, dataclasses.replace(recipe, labels=labels, edges=edges, **control)
        )

    none = EdgeConfig(alpha=0.0)
    found = [way(BASELINE, "given labels only, no graph", none, spread=False)]
    found += [way(n, "given labels and the edge term", e, spread=False) for n, e in GIVEN.items()]
    found.append(way(FEATURED, "given labels spread one step over the graph", none, spread=True))
    found += [
        way(f"spread + {n}", "spread labels and the edge term", e, spread=True)
        for n, e in SPREAD.items()
    ]
    control = "control: edges lead to images at random, labels spread as they are"
    for name in CONTROLS:
        spread = name.startswith("spread + ")
        edges = (SPREAD if spread else GIVEN)[name.removeprefix("spread + ")]
        found.append(way(f"{name}, shuffled edges", control, edges, spread=spread, shuffle_edges=0))
    return found


def equal_time(way: Variant, speed: dict[str, list[float]], passes: int) -> Variant | None:
    """The way with the passes that take it as long as the baseline's; None if it does now."""
    ratio = float(np.median(speed[way.name]) / np.median(speed[BASELINE]))
    if abs(ratio - 1) < NEAR or way.name.endswith("shuffled edges"):
        return None
    return dataclasses.replace(
        way,
        name=way.name + EQUAL_TIME,
        config=with_passes(way.config, round(passes * ratio)),
    )
