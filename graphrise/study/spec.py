"""What a study is: a YAML file, read and checked."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from graphrise.config.base import require
from graphrise.errors import ConfigError
from graphrise.recipes import RECIPES

_NAME = re.compile(r"[\w.+-]+")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One listed run, trained once a seed."""

    name: str
    """Unique in the study; in the tables."""
    note: str = ""
    """What sets it apart."""
    set: dict[str, Any] = field(default_factory=dict)
    """Settings by dotted name, over those of the study."""

    def __post_init__(self) -> None:
        require(isinstance(self.name, str) and self.name.strip() != "", "runs: a run has no name")
        _check_settings(self.set, f"set of run {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """A study. Its settings are `RunConfig`'s, `graph.*` of `GraphConfig`, and `data.*`."""

    name: str
    """Of the study: letters, digits, and any of `_ . + -`."""
    data: str = "emoji"
    """emoji, digits, or a dataset folder."""
    recipe: str | None = None
    """Where settings start; None: the recipe that is named as the data, else catalogue."""
    set: dict[str, Any] = field(default_factory=dict)
    """Settings of all runs, by dotted name."""
    axes: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values by dotted name: every combination is a run. Or `runs`."""
    runs: tuple[RunSpec, ...] = ()
    """Listed runs. Or `axes`."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each run is trained with each; in YAML a list, or how many from 0 on."""
    baseline: str | dict[str, Any] | None = None
    """The run that the others are held against, by name or by values of axes; None: none."""
    upper: str | dict[str, Any] | None = None
    """The run above it, named likewise: how much of the gap between the two is closed is shown."""
    validation: str | None = None
    """Query set (`column=value`) that is probed while training; None: the recipe's last but one."""
    test: str | None = None
    """Query set of the differences; None: the recipe's last."""

    def __post_init__(self) -> None:
        require(
            isinstance(self.name, str) and _NAME.fullmatch(self.name) is not None,
            f"name must be of letters, digits and _ . + -, got {self.name!r}",
        )
        require(
            self.recipe is None or self.recipe in RECIPES,
            f"recipe must be of {', '.join(sorted(RECIPES))}; got {self.recipe!r}",
        )
        require(bool(self.axes) != bool(self.runs), "give axes or runs, one of the two")
        require(len(self.seeds) > 0, "seeds is empty: give at least one")
        for seed in self.seeds:
            whole = isinstance(seed, int) and not isinstance(seed, bool)
            require(whole and seed >= 0, f"seeds must be whole numbers from 0 on, got {seed!r}")
        require(len(set(self.seeds)) == len(self.seeds), f"seeds has one twice: {self.seeds}")
        below = self.upper is None or self.baseline is not None
        require(below, "upper needs a baseline: the gap is between the two")
        _check_settings(self.set, "set")
        _check_settings(self.axes, "axes")
        for name, values in self.axes.items():
            require(len(values) > 0, f"axes: {name} has no value")
            twice = any(value in values[:place] for place, value in enumerate(values))
            require(not twice, f"axes: {name} has a value twice: {list(values)}")
        names = [run.name for run in self.runs]
        for name in names:
            require(names.count(name) == 1, f"runs: two of them are named {name!r}")
        for where in (self.validation, self.test):
            require(where is None or "=" in where, f"{where!r} is not of the form column=value")

    @property
    def start(self) -> str:
        """Name of the recipe that settings start from."""
        return self.recipe or (self.data if self.data in RECIPES else "catalogue")


def _check_settings(settings: Any, where: str) -> None:
    require(isinstance(settings, dict), f"{where} must be a mapping of dotted names")
    for name in settings:
        require(isinstance(name, str), f"{where}: {name!r} is not a dotted name")
    seeded = "train.seed" not in settings
    require(seeded, f"{where}: train.seed is what `seeds` sets; leave it out")


def builtin_studies() -> dict[str, Path]:
    """The studies that come with the library, by name."""
    folder = Path(__file__).with_name("builtin")
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def read_spec(study: Path) -> StudySpec:
    """Read a study's YAML, or one of the built-in studies by name.

    A dataset folder in it is taken from the YAML's folder on.

    Args:
        study: The file; where there is none, the name of a built-in study.

    Raises:
        ConfigError: No such study, or something in it is wrong; names the file and the key.
    """
    builtin = builtin_studies()
    file = study if study.is_file() else builtin.get(str(study))
    if file is None:
        raise ConfigError(f"{study}: no such file, and no such study; there are {_listed(builtin)}")
    try:
        spec = spec_of(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not YAML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    if spec.data in ("emoji", "digits"):
        return spec
    return dataclasses.replace(spec, data=str((file.parent / spec.data).resolve()))


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))


def spec_of(values: Any) -> StudySpec:
    """A study from plain values, as YAML has them.

    Raises:
        ConfigError: A key is unknown or missing, or its value is wrong.
    """
    require(isinstance(values, dict), "a study is a mapping with name, and axes or runs")
    given = {**values}
    _check_keys(StudySpec, given, "")
    if isinstance(given.get("seeds"), int):
        require(given["seeds"] >= 1, f"seeds must be at least 1, got {given['seeds']}")
        given["seeds"] = tuple(range(given["seeds"]))
    for name in ("seeds", "runs"):
        if name in given:
            require(isinstance(given[name], (list, tuple)), f"{name} must be a list")
            given[name] = tuple(given[name])
    if "axes" in given:
        _check_settings(given["axes"], "axes")
        for name, of in given["axes"].items():
            require(isinstance(of, (list, tuple)), f"axes: {name} must be a list of values")
        given["axes"] = {name: tuple(of) for name, of in given["axes"].items()}
    for name in ("data", "recipe", "validation", "test"):
        value = given.get(name)
        require(value is None or isinstance(value, str), f"{name} must be a name, got {value!r}")
    runs = []
    for place, run in enumerate(given.get("runs", ()), 1):
        require(isinstance(run, dict), f"runs: number {place} must be a mapping with name and set")
        _check_keys(RunSpec, run, f"runs: number {place}: ")
        runs.append(RunSpec(**{**run, "set": run.get("set") or {}}))
    return StudySpec(**{**given, "runs": tuple(runs)})


def _check_keys(kind: type, values: dict[str, Any], where: str) -> None:
    known = [f.name for f in dataclasses.fields(kind)]
    unknown = [str(name) for name in values if name not in known]
    require(not unknown, f"{where}no key {', '.join(unknown)}; there are {', '.join(known)}")
    require("name" in values, f"{where}name is missing")
