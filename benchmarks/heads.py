"""Case `heads`: what a sample of the labels costs in quality, on emoji, at equal encoder passes.

The label heads on the models of case `train`: 1,396 labels, of which a step draws three quarters, a
third or a twentieth, against the full softmax. Of given labels and of spread ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.rows import Row
from benchmarks.train import rows_of
from graphrise.config import EdgeConfig, RunConfig
from graphrise.demo.compare import compare
from graphrise.demo.drive import demo_runs, with_passes
from graphrise.demo.variants import BASELINE, FEATURED, Variant
from graphrise.errors import ConfigError
from graphrise.evaluate.report import write_report
from graphrise.recipes import RECIPES
from graphrise.train.folder import read_run

FULL = {False: BASELINE, True: FEATURED}
"""The full softmax, of given labels and of spread ones."""
SPREAD = "spread labels, "
SCALE = 12.0
"""Of the logits with given labels: where sampled heads and the full softmax do about best on the
validation vendor (LOG.md); the more peaked a softmax, the more a sample of it misses."""
SAMPLED: dict[str, dict[str, Any]] = {
    f"{name}, {count} negatives": {**settings, "num_negatives": count}
    for count in (1024, 512, 64)
    for name, settings in {
        "log-uniform": {"kind": "sampled", "negatives": "log_uniform"},
        "uniform": {"kind": "sampled", "negatives": "uniform"},
        "partial FC": {"kind": "partial_fc"},
        "in-batch and log-uniform": {"kind": "sampled", "negatives": "mixed"},
    }.items()
}
SAMPLED["in-batch alone"] = {"kind": "sampled", "negatives": "in_batch"}
SAMPLED_SPREAD = [name for name in SAMPLED if " 512 " in name]
"""Those that are trained on spread labels too."""


def run(out: Path, seeds: int, passes: int, only: Sequence[str] = ()) -> list[Row]:
    """Train what is missing under `out`, and give the rows.

    Args:
        out: Working folder; finished runs of the same settings are used again.
        seeds: Seeds per head.
        passes: Encoder passes per run.
        only: Names of heads; the full softmax, which they are held against, always is. Empty: all.

    Raises:
        ConfigError: A name in `only` is none of theirs.
    """
    models = _heads(with_passes(RECIPES["emoji"](), passes))
    unknown = set(only) - {m.name for m in models}
    if unknown:
        raise ConfigError(f"no head {sorted(unknown)}; there are {[m.name for m in models]}")
    models = [m for m in models if not only or m.name in {*FULL.values(), *only}]
    trained, dataset = demo_runs(out, models, data="emoji", fast=False, seeds=seeds, jobs=None)
    report = compare(dataset, trained, models[0].config.evaluate, "python -m benchmarks heads")
    write_report(out / "heads.html", report)
    peaks = {m.variant.name: max(read_run(r)[2].peak_mib for r in m.runs) for m in trained}
    size = f"1,396 labels, {passes:,} passes, {seeds} seeds"
    rows: list[Row] = []
    for model in report.models:
        against = FULL[model.name.startswith(SPREAD) or model.name == FEATURED]
        rows += rows_of(report, model, peaks[model.name], size, baseline=against)
    rows = [row for row in rows if row.unit == "%"]  # what a step costs is the case `head`
    return [dataclasses.replace(row, case="heads") for row in rows]


def _heads(recipe: RunConfig) -> list[Variant]:
    def one(name: str, what: str, spread: bool, **settings: Any) -> Variant:
        scale = recipe.head.scale if spread else SCALE
        config = dataclasses.replace(
            recipe,
            labels=dataclasses.replace(recipe.labels, spread=spread),
            edges=EdgeConfig(alpha=0.0),
            head=dataclasses.replace(recipe.head, scale=scale, **settings),
        )
        return Variant(name, what, config)

    found = []
    for spread, prefix, names in ((False, "", list(SAMPLED)), (True, SPREAD, SAMPLED_SPREAD)):
        found.append(one(FULL[spread], "softmax over all 1,396 labels", spread, kind="full"))
        what = "own labels and a sample"
        found += [one(prefix + name, what, spread, **SAMPLED[name]) for name in names]
    return found
