"""The run folder: what it holds, and reading it back."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import importlib.metadata
import json
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from graphrise import __version__
from graphrise.config import RunConfig, from_dict, to_dict
from graphrise.data.files import sole_writer, whole_file
from graphrise.errors import ConfigError, DataError

PACKAGES = ("torch", "torch-geometric", "timm", "lightning", "numpy")


@dataclass(frozen=True)
class RunResult:
    """What a run cost and how it went.

    Attributes:
        passes: Images encoded for training.
        seconds: Training time, probes excluded.
        peak_mib: Largest resident memory of the process so far (`peak_mib`); 0 where not known.
        curve: Entries over the budget (see `progress.Budget`).
        notes: What a user should know.
    """

    passes: int
    seconds: float
    peak_mib: float
    curve: list[dict[str, float]]
    notes: list[str]


_KEYS = {"dataset", "graph", "run"}
FIELDS = tuple(f.name for f in dataclasses.fields(RunResult))


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions that a result depends on."""
    found = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "graphrise": __version__,
    }
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def write_json(path: Path, value: Any) -> None:
    """JSON file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def forget_peak() -> None:
    """Let `peak_mib` count from here on; only Linux can, elsewhere it goes on as it was.

    What the allocator keeps of freed memory (`allocator.keep_memory`) goes back first: it counts
    again when it is used again.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mib() -> float:
    """Largest resident memory of this process, in MiB; 0 where the system does not say.

    It is that since the process began, or since `forget_peak`.
    """
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def prepare(
    run: Path, config: RunConfig, dataset: Path, graph: Path | None = None, *, overwrite: bool
) -> None:
    """Make the run folder and write its config.

    Args:
        run: The folder.
        config: Every setting.
        dataset: Dataset folder.
        graph: Graph folder; None: `dataset`/graph.
        overwrite: Whether an earlier run there is removed.

    Raises:
        DataError: The folder holds something and `overwrite` is false, or it is not a run folder.
    """
    if run.exists() and not run.is_dir():
        raise DataError(f"{run}: is a file, a run folder is to be written there")
    if run.is_dir() and any(run.iterdir()):
        if not overwrite:
            raise DataError(f"{run}: exists already; give --overwrite to replace it")
        if not _is_run(run):
            raise DataError(f"{run}: is not a run folder, so it is not overwritten; choose another")
        with sole_writer(run):  # not from under a process that trains it
            shutil.rmtree(run)
    run.mkdir(parents=True, exist_ok=True)
    values = {
        "dataset": str(dataset.resolve()),
        "graph": str((graph or dataset / "graph").resolve()),
        "run": to_dict(config),
    }
    with whole_file(run / "config.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _is_run(folder: Path) -> bool:
    """Whether the folder's config.yaml is one of ours: the name alone is a common one."""
    try:
        values = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(values, dict) and {"dataset", "run"} <= set(values) <= _KEYS


def finished(run: Path) -> bool:
    """Whether training has ended; `run.json` is what is written last."""
    return (run / "run.json").is_file()


def read_settings(run: Path) -> tuple[RunConfig, Path, Path]:
    """Config, dataset folder and graph folder of a run folder, finished or not.

    Raises:
        DataError: Not a run folder.
    """
    file = run / "config.yaml"
    if not file.is_file():
        raise DataError(f"{run}: not a run folder (no config.yaml)")
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        config, dataset = from_dict(RunConfig, values["run"]), Path(values["dataset"])
        graph = Path(values.get("graph", dataset / "graph"))
    except (yaml.YAMLError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise DataError(f"{file}: damaged: {error}") from error
    return config, dataset, graph


def read_run(run: Path) -> tuple[RunConfig, Path, RunResult]:
    """Config, dataset folder and result of a finished run folder.

    Raises:
        DataError: Not a run folder, or its training did not finish.
    """
    config, dataset, _ = read_settings(run)
    if not finished(run):
        raise DataError(
            f"{run}: its training did not finish (no run.json); go on with `graphrise train "
            f"--resume {run}`"
        )
    try:
        found = json.loads((run / "run.json").read_text(encoding="utf-8"))
        result = RunResult(**{k: found[k] for k in FIELDS})
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{run}: run.json is damaged: {error}") from error
    return config, dataset, result
