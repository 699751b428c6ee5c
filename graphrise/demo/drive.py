"""Prepare images and log, build the graph, train the models, judge them, write the report."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Literal

from rich.console import Console

from graphrise.config import GraphConfig, RunConfig
from graphrise.data.digits import write_digits
from graphrise.data.emoji import LOGGED, write_emoji
from graphrise.data.files import whole_file
from graphrise.demo.compare import compare
from graphrise.demo.pool import Job, train_all
from graphrise.demo.variants import Trained, Variant, variants, with_seed
from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.figures import write_figures
from graphrise.evaluate.report import write_report
from graphrise.evaluate.table import print_table, to_markdown
from graphrise.graph.build import build_graph
from graphrise.recipes import RECIPES
from graphrise.train.folder import read_run

FAST_EMOJI = 350
FAST_PASSES = 30_000
CONSOLE = Console(stderr=True)


def demo(
    out: Path,
    *,
    data: Literal["emoji", "digits"] = "emoji",
    fast: bool = False,
    seeds: int = 2,
    jobs: int | None = None,
) -> Path:
    """Run everything and write `report.html`, `report.md`, `plots/` and run folders into `out`.

    Finished trainings of an earlier, interrupted call with the same settings are kept.

    Args:
        out: Folder to fill.
        data: Images and log to use.
        fast: Three models on a subset instead of all on everything.
        seeds: Seeds per model, at least 1.
        jobs: Trainings side by side, one CPU thread each; None: as many as cores.

    Returns:
        Path of the report.

    Raises:
        ConfigError: `seeds` or `jobs` is below 1.
        DataError: Images could not be fetched, or `out` is a file.
    """
    recipe = RECIPES[data]()
    if fast and data == "emoji":
        recipe = with_passes(recipe, FAST_PASSES)
    models = variants(recipe, full=not fast)
    trained, dataset = demo_runs(out, models, data=data, fast=fast, seeds=seeds, jobs=jobs)
    CONSOLE.print("evaluating")
    command = f"graphrise demo --data {data}{' --fast' if fast else ''} --seeds {seeds}"
    report = compare(dataset, trained, recipe.evaluate, command)
    write_figures(out / "plots", report)
    write_report(out / "report.html", report)
    with whole_file(out / "report.md") as temporary:
        temporary.write_text(to_markdown(report) + "\n", encoding="utf-8")
    print_table(report)
    return out / "report.html"


def demo_runs(
    out: Path,
    models: list[Variant],
    *,
    data: Literal["emoji", "digits"],
    fast: bool,
    seeds: int,
    jobs: int | None,
) -> tuple[list[Trained], Path]:
    """The demo without judge and report: images, log and graph made, models trained.

    Args:
        out: Folder to fill; finished runs of the same settings are used again.
        models: What to train.
        data: Images and log to use.
        fast: On a subset.
        seeds: Seeds per model, at least 1.
        jobs: Trainings side by side; None: as many as cores.

    Returns:
        Finished runs by model, and the dataset folder that they are judged on.

    Raises:
        ConfigError: `seeds` or `jobs` is below 1.
        DataError: Images could not be fetched, or `out` is a file.
    """
    if seeds < 1 or (jobs is not None and jobs < 1):
        raise ConfigError(f"demo: seeds and jobs must be at least 1, got {seeds} and {jobs}")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file, a folder is to be filled")
    datasets = prepare_data(out, data, fast=fast, labelled={m.labelled for m in models})
    return _train(out, models, datasets, seeds, jobs), datasets["part"]


def with_passes(recipe: RunConfig, passes: int) -> RunConfig:
    """The recipe with another budget of encoder passes."""
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, passes=passes))


def prepare_data(out: Path, data: str, *, fast: bool, labelled: set[str]) -> dict[str, Path]:
    """Dataset folders with their graph, made where missing.

    Args:
        out: Folder that they are in.
        data: `emoji` or `digits`.
        fast: A subset.
        labelled: Of `part` (one vendor's images have labels) and `all`.

    Returns:
        Folders by what is labelled.
    """
    folders = {}
    for which in sorted(labelled, reverse=True):
        folder = out / f"{data}{'-fast' if fast else ''}{'-all-labelled' if which == 'all' else ''}"
        folders[which] = folder
        if not (folder / "images.parquet").is_file():
            CONSOLE.print(f"preparing {folder}")
            if data == "emoji":
                write_emoji(
                    folder,
                    cache=out / "packages",
                    labelled=LOGGED if which == "all" else ("apple",),
                    limit=FAST_EMOJI if fast else None,
                )
            else:
                write_digits(folder, labelled=1 if which == "all" else 20)
        if not (folder / "graph" / "graph.json").is_file():
            graph = build_graph(folder, folder / "graph", GraphConfig(), overwrite=True)
            CONSOLE.print(
                f"graph: {graph.num_nodes:,} images, {graph.num_edges // 2:,} edges from "
                f"{graph.info['counts']['impressions_rows']:,} impressions"
            )
    return folders


def _train(
    out: Path,
    models: list[Variant],
    datasets: dict[str, Path],
    seeds: int,
    workers: int | None,
) -> list[Trained]:
    jobs, trained = [], []
    # facebook, val: settings are chosen on it, so it may be looked at while training.
    probe = models[0].config.evaluate.queries[-2]
    for seed in range(seeds):
        for model in models:
            dataset = datasets[model.labelled]
            run = out / "runs" / f"{dataset.name}-{model.slug}-{seed}"
            config = with_seed(model.config, seed)
            if not _finished(run, config):
                name = f"{model.name}, seed {seed}"
                jobs.append(Job(name, dataset, dataset / "graph", run, config, probe))
    for model in models:
        name = datasets[model.labelled].name
        runs = [out / "runs" / f"{name}-{model.slug}-{seed}" for seed in range(seeds)]
        trained.append(Trained(model, runs))
    total = len(models) * seeds
    if len(jobs) < total:
        CONSOLE.print(f"{total - len(jobs)} of {total} trainings are there already")
    train_all(jobs, workers or os.cpu_count() or 1)
    return trained


def _finished(run: Path, config: RunConfig) -> bool:
    try:
        return read_run(run)[0] == config
    except DataError:
        return False
