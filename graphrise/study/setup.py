"""What a run costs before it trains: its graph, and labels spread over that."""

from __future__ import annotations

from pathlib import Path

from graphrise.config import RunConfig
from graphrise.study.plan import PlannedRun
from graphrise.study.storage import Try


def needs_graph(config: RunConfig) -> bool:
    """Whether a run reads edges or clicks; given labels alone need none of them."""
    return config.edges.used or config.labels.spread or config.labels.source != "given"


def setup_seconds(run: PlannedRun, last: Try, out: Path) -> float | None:
    """Wall time of building a finished run's graph and of spreading its labels.

    A graph is built once for all runs that share it, and counts whole for each of them.

    Args:
        run: The run.
        last: Its last try.
        out: Study folder.

    Returns:
        0 for a run that needs no graph; None where a part is not known: the graph was not built by
        the study, or the run is of a version that did not keep it.
    """
    if not needs_graph(run.config):
        return 0.0
    parts = (run.source.build_seconds(out), last.result.get("spread_seconds"))
    return None if None in parts else sum(part for part in parts if part is not None)
