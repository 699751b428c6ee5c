"""Case `train`: what the graph adds, at equal encoder passes, with controls and spread.

The models of `graphrise demo`, trained and judged the same way. Quality against cross-entropy;
time and memory beside it, so that a gain can be read at equal wall time too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.rows import Row
from graphrise.config import RunConfig
from graphrise.demo.compare import compare
from graphrise.demo.drive import demo_runs, with_passes
from graphrise.demo.variants import BASELINE, FEATURED, Variant, variants
from graphrise.errors import ConfigError
from graphrise.evaluate.report import write_report
from graphrise.evaluate.report_data import Model, Report, RunResult
from graphrise.recipes import RECIPES
from graphrise.train.folder import read_run

LABELLED = 1_396  # apple drawings: an epoch of the baseline
METRICS = ("recall@1", "recall@5", "triplets")


def run(
    out: Path,
    seeds: int,
    pixels: int,
    passes: int,
    device: str = "auto",
    only: Sequence[str] = (),
) -> list[Row]:
    """Train what is missing under `out` and give the rows.

    Args:
        out: Working folder; finished runs of the same settings are used again.
        seeds: Seeds per model.
        pixels: Image side that the encoder sees.
        passes: Encoder passes per run.
        device: `cpu`, `cuda`, or `auto`.
        only: Names of the models to train; the baseline and the featured one always are. Empty:
            all of them.

    Raises:
        ConfigError: A name in `only` is none of theirs.
    """
    recipe = with_passes(RECIPES["emoji"](), passes)
    recipe = dataclasses.replace(
        recipe,
        images=dataclasses.replace(recipe.images, size=pixels),
        train=dataclasses.replace(recipe.train, accelerator=device),
    )
    models = _models(recipe, only)
    trained, dataset = demo_runs(out, models, data="emoji", fast=False, seeds=seeds, jobs=None)
    report = compare(dataset, trained, recipe.evaluate, "python -m benchmarks train")
    write_report(out / "report.html", report)
    peaks = {m.variant.name: max(read_run(r)[2].peak_mib for r in m.runs) for m in trained}
    size = f"4,188 images in the graph, {pixels} px, {passes:,} passes, {seeds} seeds"
    return [
        row for model in report.models for row in rows_of(report, model, peaks[model.name], size)
    ]


def _models(recipe: RunConfig, only: Sequence[str]) -> list[Variant]:
    models = [*variants(recipe, full=True), _equal_steps(recipe)]
    unknown = set(only) - {m.name for m in models}
    if unknown:
        raise ConfigError(f"no model {sorted(unknown)}; there are {[m.name for m in models]}")
    return [m for m in models if not only or m.name in {BASELINE, FEATURED, *only}]


def rows_of(
    report: Report, model: Model, peak_mib: float, size: str, *, baseline: str = BASELINE
) -> list[Row]:
    """Quality on every query set, passes and time of one model, against the baseline's."""
    base = report.model(baseline)

    def row(
        metric: str, unit: str, value: Callable[[RunResult], float], higher_is_better: bool
    ) -> Row:
        return Row(
            case="train",
            variant=model.name,
            metric=metric,
            values=[value(run) for run in model.runs],
            unit=unit,
            baseline=baseline,
            baseline_values=[value(run) for run in base.runs],
            higher_is_better=higher_is_better,
            peak_mib=peak_mib,
            size=size,
        )

    def share(query_set: str, metric: str) -> Callable[[RunResult], float]:
        return lambda run: 100 * run.metrics[query_set][metric]

    quality = [
        row(f"{metric} {s.name}", "%", share(s.name, metric), True)
        for s in report.query_sets
        for metric in METRICS
    ]
    return [
        *quality,
        row("encoder passes", "images", lambda run: run.encoder_passes, False),
        row("training time", "s", lambda run: run.seconds, False),
    ]


def _equal_steps(recipe: RunConfig) -> Variant:
    """The paper's edge term with as many steps as cross-entropy: about twice the passes."""
    passes = recipe.train.passes
    assert passes is not None
    train = dataclasses.replace(recipe.train, passes=None, epochs=passes / LABELLED)
    labels = dataclasses.replace(recipe.labels, spread=False)
    return Variant(
        "edge term, equal steps",
        "the paper's way at the baseline's number of steps",
        dataclasses.replace(recipe, train=train, labels=labels),
    )
