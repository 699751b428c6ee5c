"""Dotted settings (`edges.alpha`) put into a config, checked by type as well as by range."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from graphrise.config.base import tuples
from graphrise.errors import ConfigError

Config = TypeVar("Config")


def with_settings(config: Config, settings: Mapping[str, Any], stage: str = "") -> Config:
    """A config with some settings changed, all at once.

    Args:
        config: A config dataclass; those inside it are its stages.
        settings: Value by dotted name, as YAML gives it.
        stage: What the names are below, for messages; ends with a dot.

    Raises:
        ConfigError: A name does not exist or is a stage, a value is of another type, or the config
            refuses it.
    """
    hints = get_type_hints(type(config))
    changes: dict[str, Any] = {}
    below: dict[str, dict[str, Any]] = {}
    for path, value in settings.items():
        name, _, rest = path.partition(".")
        if name not in hints:
            raise ConfigError(_unknown(stage, name, list(hints)))
        current = getattr(config, name)
        if rest and not dataclasses.is_dataclass(current):
            raise ConfigError(f"{stage}{name} is one setting, there is no {stage}{path}")
        if rest:
            below.setdefault(name, {})[rest] = value
        elif dataclasses.is_dataclass(current):
            raise ConfigError(f"{stage}{name} is a stage: name a setting, such as {_example(path)}")
        else:
            changes[name] = _typed(value, hints[name], f"{stage}{name}")
    for name, inner in below.items():
        changes[name] = with_settings(getattr(config, name), inner, f"{stage}{name}.")
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def _unknown(stage: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {stage}{near[0]}?" if near else f"there are {', '.join(known)}"
    return f"no setting {stage}{name}; {hint}"


def _example(path: str) -> str:
    return "edges.alpha" if path == "edges" else f"{path}.NAME"


def _typed(value: Any, hint: Any, name: str) -> Any:
    """The value as its type wants it.

    Raises:
        ConfigError: It is of another type.
    """
    try:
        return _read(tuples(value), hint)
    except (TypeError, ValueError):
        # Literal choices are the config's own check, whose message lists them.
        shown = getattr(hint, "__name__", None) if isinstance(hint, type) else str(hint)
        raise ConfigError(f"{name} must be {shown}, got {value!r}") from None


def _read(value: Any, hint: Any) -> Any:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _first(value, get_args(hint))
    if origin is Literal or hint is Any:
        return value
    if origin is tuple:
        return tuple(_read(one, get_args(hint)[0]) for one in _of(value, tuple))
    if origin is dict:
        return {k: _read(v, get_args(hint)[1]) for k, v in _of(value, dict).items()}
    if hint is float and not isinstance(value, bool):
        return float(value)  # YAML reads 2e-3 as a string, and 1 as a whole number
    if hint is int and isinstance(value, bool):
        raise TypeError
    return _of(value, hint)


def _of(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _first(value: Any, hints: tuple[Any, ...]) -> Any:
    """By the first type of a union that fits; None only as None."""
    if value is None and NoneType in hints:
        return None
    for hint in hints:
        try:
            return _read(value, hint)
        except (TypeError, ValueError):
            continue
    raise TypeError
