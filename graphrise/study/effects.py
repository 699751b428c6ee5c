"""What each run, or each value of an axis, changes in the test score, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphrise.evaluate.spread import spread
from graphrise.study.plan import PlannedRun, shown
from graphrise.study.stats import Paired, paired
from graphrise.study.storage import Try
from graphrise.study.summary import METRIC

CONTROL = "shuffled"
"""Names of controls have this word: what is left of a gain where the graph tells nothing."""


@dataclass(frozen=True)
class Effect:
    """One row of an effect plot.

    Attributes:
        name: Of the run, or the value of the axis.
        difference: To the reference, in shares.
        seeds: The same of each seed, in the order of the seeds.
        control: Whether it is a control of the row above.
        note: What is not finished and so not in it; empty: nothing.
    """

    name: str
    difference: Paired
    seeds: tuple[float, ...]
    control: bool = False
    note: str = ""


@dataclass(frozen=True)
class EffectPanel:
    """One effect plot.

    Attributes:
        name: Short, for files; empty: of the listed runs.
        reference: What all rows are held against.
        test: Query set.
        effects: The rows from the top; at least one.
    """

    name: str
    reference: str
    test: str
    effects: tuple[Effect, ...]


def listed_effects(
    runs: Sequence[PlannedRun], tries: Mapping[tuple[str, int], Try], baseline: str
) -> EffectPanel | None:
    """Differences of listed runs to the baseline, each control right below its run.

    Args:
        runs: The plan.
        tries: The last try of each run.
        baseline: Name of a run.

    Returns:
        The plot; None where no run has a finished seed in common with the baseline.
    """
    scores = _scores(runs, tries)
    base = {seed: value for (name, seed), value in scores.items() if name == baseline}
    planned = len({run.seed for run in runs})
    found = []
    for name in with_controls_beside([n for n in _names(runs) if n != baseline]):
        seeds = [seed for seed in base if (name, seed) in scores]
        if seeds:
            ours = [scores[name, seed] for seed in seeds]
            note = _of(len(seeds), planned, "seeds")
            found.append(_effect(name, ours, [base[seed] for seed in seeds], note))
    return EffectPanel("", baseline, runs[0].test, tuple(found)) if found else None


def axis_effects(
    runs: Sequence[PlannedRun],
    tries: Mapping[tuple[str, int], Try],
    axis: str,
    reference: Any,
) -> EffectPanel | None:
    """Differences of an axis' values to one of them, as means over the other axes.

    All seeds of a row are means over the same settings of the other axes. Where some are not
    finished, these are all settings or all seeds, whichever leaves more (`whole_block`).

    Args:
        runs: The plan, a grid.
        tries: The last try of each run.
        axis: Dotted name.
        reference: The value that the others are held against.

    Returns:
        The plot; None where nothing can be held against `reference`.
    """
    scores = _scores(runs, tries)
    table: dict[str, dict[tuple[str, int], float]] = {}
    cells = dict[str, None]()
    for run in runs:
        cell = repr([(name, value) for name, value in run.axes.items() if name != axis])
        cells[cell] = None
        if (run.name, run.seed) in scores:
            of = table.setdefault(repr(run.axes[axis]), {})
            of[cell, run.seed] = scores[run.name, run.seed]
    base, planned, found = table.get(repr(reference), {}), len({run.seed for run in runs}), []
    for value in _values(runs, axis):
        ours = table.get(repr(value), {})
        settings, seeds = whole_block([key for key in base if key in ours])
        if repr(value) == repr(reference) or not seeds:
            continue
        mine, its = (
            [spread([of[cell, seed] for cell in settings]).mean for seed in seeds]
            for of in (ours, base)
        )
        missing = (
            _of(len(settings), len(cells), "settings"),
            _of(len(seeds), planned, "seeds"),
        )
        found.append(_effect(shown(value), mine, its, ", ".join(filter(None, missing))))
    name = f"{axis.split('.')[-1]}={shown(reference)}"
    return EffectPanel(axis, name, runs[0].test, tuple(found)) if found else None


def whole_block(there: Sequence[tuple[str, int]]) -> tuple[list[str], list[int]]:
    """Settings and seeds of which every combination is there.

    Either all settings, and the seeds that have them all, or all seeds, and the settings that all
    of them have: what holds more runs, and of two that hold as many the one with more seeds.

    Args:
        there: Pairs of a setting and a seed.
    """
    has = set(there)
    cells = list(dict.fromkeys(cell for cell, _ in there))
    seeds = list(dict.fromkeys(seed for _, seed in there))
    blocks = (
        ([cell for cell in cells if all((cell, seed) in has for seed in seeds)], seeds),
        (cells, [seed for seed in seeds if all((cell, seed) in has for cell in cells)]),
    )
    cells, seeds = max(blocks, key=lambda block: len(block[0]) * len(block[1]))
    return (cells, seeds) if cells and seeds else ([], [])


def with_controls_beside(names: Sequence[str]) -> list[str]:
    """The names in their order, but each control right after what it controls.

    That is the run whose name the control's begins with, the longest of them.
    """
    of: dict[str | None, list[str]] = {}
    plain = [name for name in names if CONTROL not in name]
    for name in names:
        if CONTROL in name:
            heads = [other for other in plain if name.startswith(other)]
            of.setdefault(max(heads, key=len, default=None), []).append(name)
    return [one for name in plain for one in (name, *of.get(name, []))] + of.get(None, [])


def _effect(name: str, ours: Sequence[float], base: Sequence[float], note: str) -> Effect:
    seeds = tuple(a - b for a, b in zip(ours, base, strict=True))
    return Effect(name, paired(ours, base), seeds, CONTROL in name, note)


def _of(some: int, of: int, what: str) -> str:
    return "" if some == of else f"{some} of {of} {what}"


def _scores(
    runs: Sequence[PlannedRun], tries: Mapping[tuple[str, int], Try]
) -> dict[tuple[str, int], float]:
    return {
        (run.name, run.seed): float(last.result["metrics"][run.test][METRIC])
        for run in runs
        if (last := tries[run.name, run.seed]).state == "finished"
    }


def _names(runs: Sequence[PlannedRun]) -> list[str]:
    return list(dict.fromkeys(run.name for run in runs))


def _values(runs: Sequence[PlannedRun], axis: str) -> list[Any]:
    """In the order of the study; by their text, for a value may be a list."""
    return list({repr(run.axes[axis]): run.axes[axis] for run in runs}.values())
