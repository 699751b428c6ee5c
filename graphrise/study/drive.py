"""A study from its plan to its tables, plots and page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from graphrise.config.base import require
from graphrise.data.files import whole_file
from graphrise.errors import ConfigError, DataError, GraphriseError
from graphrise.study.crew import Crew
from graphrise.study.equal_time import equal_time
from graphrise.study.figures import curve_figures, effect_figures, write_figures
from graphrise.study.markdown import to_markdown
from graphrise.study.page import write_page
from graphrise.study.plan import PlannedRun, plan, references_of
from graphrise.study.rows import write_rows
from graphrise.study.spec import StudySpec
from graphrise.study.storage import Trials, Try
from graphrise.study.summary import summary
from graphrise.study.table import score_table
from graphrise.study.tabular import latex
from graphrise.study.time_table import time_table

CONSOLE = Console(stderr=True)


def study(
    spec: StudySpec,
    out: Path,
    *,
    jobs: int | None = None,
    retries: int = 1,
    only: Sequence[str] = (),
    report_only: bool = False,
    command: str = "",
) -> list[Path]:
    """Train and score what is missing, and write the tables, plots and page.

    Finished runs of earlier calls are kept, interrupted ones go on from their last checkpoint.
    Several processes, or machines that share the folder, may work on one study at a time. Runs and
    seeds may be added later; what a run is may not be changed.

    Args:
        spec: The study.
        out: Its folder: gets `study.log` (the journal of Optuna), `runs/`, `graphs/`, `data/`,
            `runs.parquet`, `cost.parquet`, `curves.parquet`, `table.md`, `table.tex`,
            `table-time.tex`, `plots/`, `report.html`.
        jobs: Runs side by side; None: as many as cores.
        retries: More tries for a run that fails, and for one that failed in an earlier call.
        only: Names of runs to train; the others stay for another call. Empty: all.
        report_only: Train nothing.
        command: Shown on the page as what goes on with the study.

    Returns:
        The tables, plots and page.

    Raises:
        ConfigError: A setting is wrong, or a run was planned with other settings before.
        DataError: `out` is a file, or data are missing or wrong.
        GraphriseError: Optuna is not installed; runs failed, the tables being written.
        Stopped: SIGTERM came; the runs have written checkpoints.
        KeyboardInterrupt: Ctrl-C came; likewise.
    """
    jobs = (os.cpu_count() or 1) if jobs is None else jobs
    require(jobs >= 1, f"study: jobs must be at least 1, got {jobs}")
    require(retries >= 0, f"study: retries must be at least 0, got {retries}")
    runs = plan(spec)
    chosen = chosen_of(runs, only)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file, a folder is to be filled")
    if report_only and not (out / "study.log").is_file():
        raise DataError(f"{out}: holds no study (no study.log)")
    out.mkdir(parents=True, exist_ok=True)
    trials = Trials(out, spec.name)
    if report_only:
        trials.check(runs)
        return report(spec, out, trials, runs, command)
    trials.enqueue(runs, retries)
    trials.reap(chosen)
    _work(spec, out, trials, chosen, jobs)
    tries = trials.tries()
    done = any(last.state == "finished" for last in tries.values())
    files = report(spec, out, trials, runs, command) if done else []
    _check_failures(chosen, tries)
    return files


def _check_failures(runs: Sequence[PlannedRun], tries: Mapping[tuple[str, int], Try]) -> None:
    failed = [r for r in runs if tries[r.name, r.seed].state == "failed"]
    if failed:
        first = failed[0]
        error = tries[first.name, first.seed].error.strip().splitlines()[-1]
        raise GraphriseError(
            f"{len(failed)} of {len(runs)} runs failed, as {first.name}, seed {first.seed}: "
            f"{error}; the same command tries them again"
        )


def chosen_of(runs: Sequence[PlannedRun], only: Sequence[str]) -> list[PlannedRun]:
    """Runs of some names.

    Args:
        runs: The plan.
        only: Names; empty: all.

    Raises:
        ConfigError: A name is none of theirs.
    """
    names = list(dict.fromkeys(run.name for run in runs))
    unknown = [name for name in only if name not in names]
    if unknown:
        raise ConfigError(f"no run {', '.join(unknown)}; there are {'; '.join(names)}")
    return [run for run in runs if not only or run.name in only]


def _work(
    spec: StudySpec, out: Path, trials: Trials, runs: Sequence[PlannedRun], jobs: int
) -> None:
    """Make data and graphs, and do what is left."""
    tries = trials.tries()
    left = [r for r in runs if tries[r.name, r.seed].state not in ("finished", "failed")]
    if len(left) < len(runs):
        CONSOLE.print(f"{len(runs) - len(left)} of {len(runs)} runs are done already")
    if not left:
        return
    for source in dict.fromkeys(run.source for run in left):
        if not source.ready(out):
            CONSOLE.print(f"preparing {source.graph_folder(out)}", soft_wrap=True)
            source.make(out)
    Crew(out, spec.name, trials, runs).work(jobs)


def report(
    spec: StudySpec, out: Path, trials: Trials, runs: Sequence[PlannedRun], command: str = ""
) -> list[Path]:
    """Write the Parquet files, tables, plots and page of what is finished.

    Args:
        spec: The study.
        out: Its folder.
        trials: Of the study.
        runs: The plan.
        command: Shown on the page as what goes on with the study.

    Raises:
        DataError: No run is finished.
    """
    tries = {(r.name, r.seed): Try(-1, "waiting", r.key, 0, 0, "", {}) for r in runs}
    tries |= trials.tries()
    files = write_rows(out, runs, tries)
    references = references_of(spec)
    found = summary(spec.name, runs, tries, references)
    at_once = equal_time(runs, tries, references, out)
    scores, times = score_table(found), None if at_once is None else time_table(at_once)
    texts = {"table.md": to_markdown(found, scores, times), "table.tex": latex(scores)}
    if times is not None:
        texts["table-time.tex"] = latex(times)
    else:
        (out / "table-time.tex").unlink(missing_ok=True)  # of an earlier call
    for name, text in texts.items():
        with whole_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        files.append(out / name)
    effects = effect_figures(spec, runs, tries)
    curves = curve_figures(out / "curves.parquet", found.validation, references)
    files += write_figures(out / "plots", [*effects, *curves])
    page = write_page(
        out / "report.html", spec, runs, tries, found, scores, times, effects=effects,
        curves=curves, command=command,
    )  # fmt: skip
    return [*files, page]
