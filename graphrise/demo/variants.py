"""The models that the demo compares: one recipe, one thing changed at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from graphrise.config import RunConfig
from graphrise.study.plan import with_seed as with_seed

BASELINE = "cross-entropy"
FEATURED = "spread labels"


@dataclass(frozen=True)
class Variant:
    """One model of the comparison.

    Attributes:
        name: Unique, used in the report.
        description: What sets it apart.
        config: The run, seed 0.
        labelled: Which images have a label: one vendor (or part), or all logged ones.
    """

    name: str
    description: str
    config: RunConfig
    labelled: Literal["part", "all"] = "part"

    @property
    def slug(self) -> str:
        """Name as a folder name."""
        return "".join(c if c.isalnum() else "-" for c in self.name).replace("--", "-")


@dataclass(frozen=True)
class Trained:
    """A variant and its finished run folders, one a seed."""

    variant: Variant
    runs: Sequence[Path]


def variants(recipe: RunConfig, *, full: bool) -> list[Variant]:
    """The three models of the fast demo, or with references and controls.

    Args:
        recipe: Encoder, budget, labels' spread settings and edge strength shared by all.
        full: Add queries as labels, the shuffled-graph controls, and all images labelled.
    """
    alpha = recipe.edges.alpha

    def change(spread: bool = False, alpha: float = 0.0, **top: Any) -> RunConfig:
        labels = dataclasses.replace(
            recipe.labels, spread=spread, source=top.pop("source", "given")
        )
        edges = dataclasses.replace(recipe.edges, alpha=alpha)
        return dataclasses.replace(recipe, labels=labels, edges=edges, **top)

    found = [
        Variant(BASELINE, "given labels only, no graph", change()),
        Variant(
            "edge term",
            f"the paper's way: given labels + {alpha:g} x edge term",
            change(alpha=alpha),
        ),
        Variant(FEATURED, "given labels spread one step over the graph", change(spread=True)),
    ]
    if full:
        found[2:2] = [
            Variant(
                "edge term, shuffled graph",
                "control: the graph over the wrong images",
                change(alpha=alpha, shuffle_graph=0),
            ),
            Variant("queries", "clicked queries as labels, no graph", change(source="queries")),
            Variant(
                "all labelled", "upper reference: every logged image labelled", change(), "all"
            ),
            Variant(
                "spread, shuffled graph",
                "control: the graph over the wrong images",
                change(spread=True, shuffle_graph=0),
            ),
        ]
    return found
