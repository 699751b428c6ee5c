"""Which images and labels a run was trained on, and whether a graph is still of these."""

from __future__ import annotations

import json
from pathlib import Path

from graphrise.errors import DataError
from graphrise.graph.fingerprint import fingerprint
from graphrise.graph.store import Graph
from graphrise.train.folder import write_json

FILE = "trained_on.json"
"""In the run folder: `graph.fingerprint`, and how many edges."""


def note_graph(run: Path, graph: Graph, source: str) -> None:
    """Write down what a run begins to be trained on.

    Args:
        run: Its folder.
        graph: The graph.
        source: Of its labels, `config.labels.source`.
    """
    write_json(run / FILE, {**fingerprint(graph, _sources(source)), "edges": graph.num_edges})


def check_graph(run: Path, graph: Graph, source: str, *, labels_only: bool = False) -> None:
    """Refuse a graph that a run was not trained on; a folder without a note passes.

    Args:
        run: The run folder.
        graph: What it is used with now.
        source: Of its labels.
        labels_only: Whether other images or edges are no harm.

    Raises:
        DataError: Names of labels or images differ, or their order, or the number of edges; or the
            note is damaged.
    """
    file = run / FILE
    if not file.is_file():
        return
    try:
        before = dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{file}: damaged ({error}); train anew") from error
    now = {**fingerprint(graph, _sources(source)), "edges": graph.num_edges}
    differ = [name for name in now if before.get(name) != now[name]]
    differ = [name for name in differ if not labels_only or name.startswith("labels")]
    if differ:
        raise DataError(
            f"{run}: was trained on a graph of other {' and '.join(differ)}, or in another order; "
            "build the graph again from the same tables and settings, or train anew"
        )


def _sources(source: str) -> tuple[str, ...]:
    return ("given", "queries") if source == "both" else (source,)
