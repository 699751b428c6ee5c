"""A study's runs, every setting resolved and checked before the first of them starts."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphrise.config import GraphConfig, HeadConfig, RunConfig, to_dict
from graphrise.config.base import require
from graphrise.errors import ConfigError
from graphrise.recipes import RECIPES
from graphrise.study.data import SETTINGS, Source, digest
from graphrise.study.settings import with_settings
from graphrise.study.spec import RunSpec, StudySpec

_FORMAT = 1
_DECIDES_NOTHING = ("checkpoint", "watch")
"""Stages of a run that do not change what it scores."""
_LATER: dict[str, dict[str, Any]] = {
    "": {"shuffle_share": 1.0},
    "evaluate": {"clustering": False},
}
"""Settings that are younger than the format, by stage ("": of none), and what was before them: a
run that has this keeps its key, so that studies of earlier versions go on."""

_ROWS_BEFORE = {"optimizer": "adagrad", "lr": 0.8, "weight_decay": 0.0}
"""Defaults of the head's row-wise update in earlier versions. They did nothing under a softmax over
all labels, nor do those of today, so such a run keeps its key too. `auto` is taken for one, though
above a million labels it is none: a key cannot know how many there are."""


@dataclass(frozen=True)
class PlannedRun:
    """One training of a study.

    Attributes:
        name: Of the run; the same for all of its seeds.
        note: What sets it apart.
        axes: What this run sets beyond the study, by dotted name.
        seed: Of training, and of what is shuffled.
        config: Every setting.
        source: Pictures, log and graph.
        validation: Query set that is probed; None: none.
        test: Query set of the differences.
        key: Follows from all that decides the result.
    """

    name: str
    note: str
    axes: Mapping[str, Any]
    seed: int
    config: RunConfig
    source: Source
    validation: str | None
    test: str
    key: str

    @property
    def slug(self) -> str:
        """Its name and seed as a file name."""
        plain = "".join(c if c.isalnum() or c in ".+=_" else "-" for c in self.name)
        while "--" in plain:
            plain = plain.replace("--", "-")
        return f"{plain.strip('-.')}-seed{self.seed}"

    def folder(self, out: Path) -> Path:
        """Run folder in a study folder; of another key it is another one."""
        return out / "runs" / f"{self.slug}-{self.key[:8]}"

    @property
    def budget(self) -> str:
        """Encoder passes, or epochs where they alone end it."""
        train = self.config.train
        return f"{train.epochs:g} epochs" if train.passes is None else f"{train.passes:,} passes"


@dataclass(frozen=True)
class References:
    """What a study's runs are held against, by name.

    Attributes:
        baseline: Differences are to it; None: nothing is compared.
        upper: The other end of the gap that runs close; None: no gap is looked at.
    """

    baseline: str | None = None
    upper: str | None = None


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """The run with another seed; a shuffled graph is shuffled anew with it."""
    train = dataclasses.replace(config.train, seed=seed)
    shuffles = {
        name: None if getattr(config, name) is None else seed
        for name in ("shuffle_graph", "shuffle_edges")
    }
    return dataclasses.replace(config, train=train, **shuffles)


def plan(spec: StudySpec) -> list[PlannedRun]:
    """All runs of a study, seed by seed.

    Raises:
        ConfigError: A setting is unknown or wrong, two runs are one, or a reference is none.
        DataError: The dataset folder does not exist.
    """
    runs = list(spec.runs) if spec.runs else _grid(spec)
    built = [_built(spec, run) for run in runs]
    data = {source: source.described() for source in dict.fromkeys(run.source for run in built)}
    planned = [_seeded(run, seed, data[run.source]) for seed in spec.seeds for run in built]
    slugs = dict[str, PlannedRun]()
    for run in planned:
        other = slugs.setdefault(run.slug, run)
        require(other is run, f"runs {other.name!r} and {run.name!r} are one as file names; rename")
    sets = {(run.validation, run.test) for run in planned}
    require(len(sets) == 1, "runs have different query sets: set validation and test")
    references_of(spec)
    return planned


def references_of(spec: StudySpec) -> References:
    """The runs that the others are held against.

    Raises:
        ConfigError: There is none of that name or with those values, or more than one, or the two
            are one.
    """
    runs = list(spec.runs) if spec.runs else _grid(spec)
    found = References(
        _reference(runs, spec.baseline, "baseline"), _reference(runs, spec.upper, "upper")
    )
    apart = found.upper is None or found.upper != found.baseline
    require(apart, f"upper and baseline are both {found.upper!r}: there is no gap between them")
    return found


def _reference(runs: Sequence[RunSpec], wanted: Any, key: str) -> str | None:
    if wanted is None:
        return None
    if isinstance(wanted, dict):
        items = wanted.items()
        found = [r.name for r in runs if all(k in r.set and r.set[k] == v for k, v in items)]
    else:
        found = [r.name for r in runs if r.name == wanted]
    require(
        len(found) == 1,
        f"{key} {wanted!r} is {', '.join(found) or 'no run'}; there are "
        f"{', '.join(r.name for r in runs)}",
    )
    return found[0]


def _grid(spec: StudySpec) -> list[RunSpec]:
    shorts = [path.split(".")[-1] for path in spec.axes]
    names = [
        path if shorts.count(short) > 1 else short
        for path, short in zip(spec.axes, shorts, strict=True)
    ]
    found = []
    for values in itertools.product(*spec.axes.values()):
        name = ", ".join(f"{n}={shown(v)}" for n, v in zip(names, values, strict=True))
        found.append(RunSpec(name=name, set=dict(zip(spec.axes, values, strict=True))))
    return found


def shown(value: Any) -> str:
    """A value of an axis as text."""
    if isinstance(value, (list, tuple)):
        return "+".join(shown(one) for one in value) or "none"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _built(spec: StudySpec, run: RunSpec) -> PlannedRun:
    """The run with its first seed; its key comes with the seed."""
    settings = {**spec.set, **run.set}
    parts: dict[str, dict[str, Any]] = {"": {}, "graph": {}, "data": {}}
    for path, value in settings.items():
        stage, _, rest = path.partition(".")
        if stage in parts and rest:
            parts[stage][rest] = value
        else:
            parts[""][path] = value
    try:
        config = _with_queries(with_settings(RECIPES[spec.start](), parts[""]), spec)
        source = _source(spec.data, parts["data"], parts["graph"])
    except ConfigError as error:
        raise ConfigError(f"run {run.name!r}: {error}") from error
    test = spec.test or config.evaluate.queries[-1]
    others = [where for where in config.evaluate.queries if where != test]
    validation = spec.validation or (others[-1] if others else None)
    return PlannedRun(run.name, run.note, run.set, 0, config, source, validation, test, "")


def _with_queries(config: RunConfig, spec: StudySpec) -> RunConfig:
    """The query sets that the study names are scored too, and the test set stays the last."""
    named = [where for where in (spec.validation, spec.test) if where is not None]
    queries = tuple(dict.fromkeys([*config.evaluate.queries, *named]))
    if spec.test is not None:
        queries = (*(where for where in queries if where != spec.test), spec.test)
    return dataclasses.replace(
        config, evaluate=dataclasses.replace(config.evaluate, queries=queries)
    )


def _source(name: str, data: dict[str, Any], graph: dict[str, Any]) -> Source:
    if name in SETTINGS:
        built = with_settings(SETTINGS[name](), data, "data.")
        return Source(name, built, with_settings(GraphConfig(), graph, "graph."))
    require(not data, f"data.{next(iter(data), '')} is a setting of emoji and digits alone")
    own = not graph and (Path(name) / "graph" / "graph.json").is_file()
    return Source(name, None, None if own else with_settings(GraphConfig(), graph, "graph."))


def _seeded(run: PlannedRun, seed: int, data: dict[str, Any]) -> PlannedRun:
    config = with_seed(run.config, seed)
    settings = {k: v for k, v in to_dict(config).items() if k not in _DECIDES_NOTHING}
    for stage, later in _LATER.items():
        of = settings[stage] if stage else settings
        for name in [k for k, v in later.items() if of.get(k) == v]:
            del of[name]
    head, default = settings["head"], HeadConfig()
    unset = all(head[name] == getattr(default, name) for name in _ROWS_BEFORE)
    if unset and config.head.kind in ("auto", "full"):
        head |= _ROWS_BEFORE
    key = digest(
        {
            "format": _FORMAT,
            "data": data,
            "run": settings,
            "validation": run.validation,
            "test": run.test,
        }
    )
    return dataclasses.replace(run, seed=seed, config=config, key=key)
