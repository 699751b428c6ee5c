"""What a self-check finds: sentences with a count and the first place."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphrise.graph.store import Graph


class Findings:
    """Counts each thing that is wrong and keeps its first place."""

    def __init__(self, graph: Graph) -> None:
        """Find things in `graph`."""
        self._graph = graph
        self._found: dict[str, tuple[int, str]] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def edges(self, what: str, wrong: np.ndarray, row: np.ndarray, col: np.ndarray) -> None:
        """Note edges.

        Args:
            what: What is wrong with them, in the plural.
            wrong: bool `[B]`.
            row: `[B]`, nodes the edges start from.
            col: `[B]`, nodes they lead to, which need not exist.
        """
        if wrong.any():
            first = int(wrong.argmax())
            u, v = int(row[first]), int(col[first])
            self._note(what, wrong, f"{u} -> {v} (image {self._image(u)} -> {self._image(v)})")

    def nodes(self, what: str, wrong: np.ndarray, node: np.ndarray) -> None:
        """Note nodes, or labels by their nodes.

        Args:
            what: What is wrong with them, in the plural.
            wrong: bool `[B]`.
            node: `[B]`.
        """
        if wrong.any():
            first = int(node[int(wrong.argmax())])
            self._note(what, wrong, f"at node {first} (image {self._image(first)})")

    def sentences(self) -> list[str]:
        """One for each thing that is wrong."""
        return [
            f"{what}: {count:,}, the first {first}." for what, (count, first) in self._found.items()
        ]

    def _note(self, what: str, wrong: np.ndarray, first: str) -> None:
        count, earlier = self._found.get(what, (0, first))
        self._found[what] = (count + int(np.count_nonzero(wrong)), earlier)

    def _image(self, node: int) -> Any:
        return repr(self._graph.image_ids[node]) if 0 <= node < self._graph.num_nodes else "none"
