"""What every config dataclass needs: checks with a clear message, and plain dicts and back."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args, get_origin, get_type_hints

from graphrise.errors import ConfigError


def require(condition: bool, message: str) -> None:
    """Refuse a setting.

    Raises:
        ConfigError: `condition` does not hold.
    """
    if not condition:
        raise ConfigError(message)


def check_choices(config: Any, stage: str) -> None:
    """Refuse a value that a `Literal` field does not list."""
    for name, kind in get_type_hints(type(config)).items():
        if get_origin(kind) is Literal:
            value, choices = getattr(config, name), get_args(kind)
            require(
                value in choices, f"{stage}.{name} must be of {', '.join(choices)}; got {value!r}"
            )


def tuples(value: Any) -> Any:
    """Lists as tuples, inside dicts too: what YAML gives back equals what was written."""
    if isinstance(value, dict):
        return {k: tuples(v) for k, v in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, (list, tuple)) else value


def to_dict(config: Any) -> dict[str, Any]:
    """Plain nested dict of a config dataclass, ready for YAML or JSON."""
    return dataclasses.asdict(config)


def from_dict(kind: type, values: dict[str, Any]) -> Any:
    """Rebuild a config dataclass of type `kind` from `to_dict`'s form.

    Raises:
        ConfigError: A name that `kind` does not have (a run folder of another version, or a typo).
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(f"{kind.__name__} has no setting {', '.join(unknown)}")
    built: dict[str, Any] = {}
    for name, value in values.items():
        default = fields[name].default
        if dataclasses.is_dataclass(default) and isinstance(value, dict):
            value = from_dict(type(default), value)
        elif isinstance(value, list):
            value = tuple(value)
        built[name] = value
    return kind(**built)
