"""Which graph a run was trained on, and whether one is still that."""

from __future__ import annotations

import json
from pathlib import Path

from graphrise.errors import DataError
from graphrise.graph import fingerprint
from graphrise.graph.store import Graph
from graphrise.train.folder import write_json

FILE = "trained_on.json"
"""In the run folder: digests by what is told apart (`graph.fingerprint`)."""


def note_graph(run: Path, graph: Graph, source: str) -> None:
    """Write down what a run begins to be trained on.

    Args:
        run: Its folder.
        graph: The graph.
        source: Of its labels, `config.labels.source`.
    """
    write_json(run / FILE, _labels(graph, source, shares=True) | _rest(graph))


def check_trained_on(run: Path, graph: Graph, source: str, *, head_only: bool = False) -> None:
    """Refuse a graph that a run was not trained on; a folder without a note passes.

    Args:
        run: The run folder.
        graph: What it is used with now.
        source: Of its labels.
        head_only: Whether it is for the label head alone, to which other images and edges do no
            harm, nor other labels of the same vocabulary (of source `both` these set its order).

    Raises:
        DataError: Something differs, or its order; the graph has no such labels; or the note is
            damaged.
    """
    file = run / FILE
    if not file.is_file():
        return
    try:
        before = dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{file}: damaged ({error}); train anew") from error
    now = _labels(graph, source, shares=not head_only or source == "both")
    now |= {} if head_only else _rest(graph)
    differ = [name for name, digest in now.items() if before.get(name) != digest]
    if differ:
        raise DataError(
            f"{run}: was trained on a graph of other {', '.join(differ)}, or in another order; "
            "build the graph again from the same tables and settings, or train anew"
        )


def _labels(graph: Graph, source: str, *, shares: bool) -> dict[str, str]:
    found = {}
    for one in ("given", "queries") if source == "both" else (source,):
        found[f"names of labels ({one})"] = fingerprint.label_names(graph, one)
        if shares:
            found[f"labels of images ({one})"] = fingerprint.image_labels(graph, one)
    return found


def _rest(graph: Graph) -> dict[str, str]:
    return {"images": fingerprint.image_names(graph), "edges": fingerprint.edges(graph)}
