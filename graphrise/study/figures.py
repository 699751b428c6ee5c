"""Which plots a study has, and their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphrise.data.files import whole_file
from graphrise.evaluate.figure import Theme
from graphrise.study.curves import Against, read_curves
from graphrise.study.effects import EffectPanel, axis_effects, listed_effects
from graphrise.study.plan import PlannedRun, References, references_of
from graphrise.study.plots import Kind, curves_plot, effect_plot
from graphrise.study.spec import StudySpec
from graphrise.study.storage import Try
from graphrise.study.summary import METRIC

_AGAINST: Mapping[Against, str] = {"passes": "encoder passes", "seconds": "wall time of training"}


@dataclass(frozen=True)
class Figure:
    """A plot: file name without ending, how to draw it, and what it shows in words."""

    name: str
    draw: Callable[[Theme, Kind], bytes]
    alt: str


def effect_figures(
    spec: StudySpec, runs: Sequence[PlannedRun], tries: Mapping[tuple[str, int], Try]
) -> list[Figure]:
    """Differences on the test set: of listed runs to the baseline, of a grid axis by axis.

    An axis is held against the baseline's value on it, without a baseline against its first.

    Args:
        spec: The study.
        runs: The plan.
        tries: The last try of each run.

    Returns:
        None for listed runs without a baseline, and none for an axis of one value.
    """
    baseline = references_of(spec).baseline
    if spec.runs:
        panel = None if baseline is None else listed_effects(runs, tries, baseline)
        return [] if panel is None else [_effect(panel)]
    base = next((run.axes for run in runs if run.name == baseline), runs[0].axes)
    panels = [axis_effects(runs, tries, axis, base[axis]) for axis in spec.axes]
    return [_effect(panel) for panel in panels if panel is not None]


def _effect(panel: EffectPanel) -> Figure:
    rows = [f"{one.name} {100 * one.difference.mean:+.1f}" for one in panel.effects]
    return Figure(
        f"effect-{panel.name}" if panel.name else "effect",
        lambda theme, kind: effect_plot(panel, theme, kind),
        f"difference in {METRIC} to {panel.reference} on {panel.test}, points: {'; '.join(rows)}",
    )


def curve_figures(curves: Path, validation: str | None, references: References) -> list[Figure]:
    """Validation scores against encoder passes and against time, if the study has such a set.

    Args:
        curves: `curves.parquet`.
        validation: Query set, or None.
        references: What runs are held against.
    """

    def figure(against: Against, what: str, of: str) -> Figure | None:
        found = read_curves(curves, against)
        return None if not found else Figure(
            f"curve-{against}",
            lambda theme, kind: curves_plot(found, against, of, references, theme, kind),
            f"{METRIC} on {of} against {what}, a line a run",
        )  # fmt: skip

    if validation is None:
        return []
    made = [figure(against, what, validation) for against, what in _AGAINST.items()]
    return [one for one in made if one is not None]


def write_figures(folder: Path, figures: Sequence[Figure]) -> list[Path]:
    """Write every plot as SVG and as PNG, for a white page, each file whole or not at all.

    Args:
        folder: Made if missing; files of these names are replaced.
        figures: What to draw.

    Returns:
        The files.
    """
    files = []
    kinds: tuple[Any, ...] = ("svg", "png")
    for figure in figures:
        for kind in kinds:
            path = folder / f"{figure.name}.{kind}"
            with whole_file(path) as temporary:
                temporary.write_bytes(figure.draw("light", kind))
            files.append(path)
    return files
