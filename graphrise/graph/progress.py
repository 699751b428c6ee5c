"""The stages of a build on the terminal: what is done, what runs, how far, how long."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from graphrise.graph.engine.base import Display

_PAUSE = 10.0
"""Seconds between lines where nobody watches a bar; a build that takes less prints none."""


@contextmanager
def shown_stages() -> Iterator[Display]:
    """Show the stages on stderr: a bar each on a terminal, else a line now and then.

    Yields:
        What `build_graph` takes as `display`.
    """
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = TextColumn("{task.description:<28}"), BarColumn(30), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        stages: dict[str, TaskID] = {}

        def show(stage: str, fraction: float | None) -> None:
            if stage not in stages:
                for task in stages.values():
                    progress.update(task, total=1.0, completed=1.0)
                stages[stage] = progress.add_task(stage, total=None)
            if fraction is not None:
                progress.update(stages[stage], total=1.0, completed=min(fraction, 0.99))

        yield show
        for task in stages.values():
            progress.update(task, total=1.0, completed=1.0)


def _lines(console: Console) -> Display:
    at = time.monotonic()

    def show(stage: str, fraction: float | None) -> None:
        nonlocal at
        if time.monotonic() - at > _PAUSE:
            share = "" if fraction is None else f" {fraction:.0%}"
            console.print(f"{stage}{share}", highlight=False)
            at = time.monotonic()

    return show
