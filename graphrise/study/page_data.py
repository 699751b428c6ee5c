"""What a study's page shows beside its table and plots: settings, failures, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphrise.config import to_dict
from graphrise.study.plan import PlannedRun, References, shown
from graphrise.study.spec import StudySpec
from graphrise.study.storage import Try

Pairs = list[tuple[str, str]]
"""Names and values as text."""


@dataclass(frozen=True)
class RunText:
    """One run on the page.

    Attributes:
        name: Of the run.
        note: What sets it apart.
        given: What the study sets for it, beyond what all runs have.
        differing: All settings that not all runs share.
    """

    name: str
    note: str
    given: Pairs
    differing: Pairs


@dataclass(frozen=True)
class Failure:
    """One run that failed.

    Attributes:
        name: Of the run.
        seed: Its seed.
        tries: How often it was tried.
        last: The last line of the error.
        error: All of it.
    """

    name: str
    seed: int
    tries: int
    last: str
    error: str


def about(spec: StudySpec, runs: Sequence[PlannedRun], references: References) -> Pairs:
    """What was studied, name by name."""
    names = dict.fromkeys(run.name for run in runs)
    first = runs[0]
    return [
        ("data", spec.data),
        ("recipe", spec.start),
        ("set for all runs", _line(_pairs(spec.set)) or "nothing beyond the recipe"),
        *((f"axis {name}", ", ".join(map(shown, of))) for name, of in spec.axes.items()),
        ("runs", f"{len(names)}, each with seeds {', '.join(map(str, spec.seeds))}"),
        ("baseline", references.baseline or "none"),
        *([("upper reference", references.upper)] if references.upper is not None else []),
        ("validation set", first.validation or "none"),
        ("test set", first.test),
    ]


def run_texts(runs: Sequence[PlannedRun]) -> tuple[Pairs, list[RunText]]:
    """Settings that all runs share, and each run with those that it does not.

    Args:
        runs: The plan. Seeds, and what is shuffled by them, are left out.
    """
    by_name = {run.name: run for run in reversed(runs)}  # the first seed of each
    settings = {name: _settings(by_name[name]) for name in dict.fromkeys(r.name for r in runs)}
    every = dict.fromkeys(key for of in settings.values() for key in of)
    shared = {key for key in every if len({repr(of.get(key)) for of in settings.values()}) == 1}
    common = next(iter(settings.values()))
    texts = [
        RunText(
            name,
            by_name[name].note,
            _pairs(by_name[name].axes),
            _pairs({key: value for key, value in of.items() if key not in shared}),
        )
        for name, of in settings.items()
    ]
    return _pairs({key: common[key] for key in every if key in shared}), texts


def failures(runs: Sequence[PlannedRun], tries: Mapping[tuple[str, int], Try]) -> list[Failure]:
    """Runs whose last try failed, in the plan's order."""
    found = []
    for run in runs:
        last = tries[run.name, run.seed]
        if last.state == "failed":
            lines = last.error.strip().splitlines() or ["no error was kept"]
            found.append(Failure(run.name, run.seed, last.tries, lines[-1], "\n".join(lines)))
    return found


def versions_of(tries: Mapping[tuple[str, int], Try]) -> Pairs:
    """Packages that finished runs were made with; all versions where they differ."""
    found: dict[str, dict[str, None]] = {}
    for last in tries.values():
        for name, version in last.result.get("versions", {}).items():
            found.setdefault(name, {})[str(version)] = None
    return [(name, ", ".join(sorted(of))) for name, of in found.items()]


def _settings(run: PlannedRun) -> dict[str, Any]:
    """All settings by dotted name, of data and graph too; a shuffle is yes or no."""
    config = to_dict(run.config)
    config["train"].pop("seed")
    for name in ("shuffle_graph", "shuffle_edges"):
        config[name] = "by the seed" if config[name] is not None else None
    source = run.source
    parts = {
        "data": {} if source.settings is None else to_dict(source.settings),
        "graph": {} if source.graph is None else to_dict(source.graph),
    }
    return dict(_flat({**config, **parts}))


def _flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, value in values.items():
        deeper = isinstance(value, dict) and bool(value)
        found += _flat(value, f"{above}{name}.") if deeper else [(f"{above}{name}", value)]
    return found


def _pairs(values: Mapping[str, Any]) -> Pairs:
    return [(name, shown(value) if value != {} else "none") for name, value in values.items()]


def _line(pairs: Pairs) -> str:
    return "; ".join(f"{name}: {value}" for name, value in pairs)
