"""Where a run's pictures, log and graph come from; each is made once and shared by the runs."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphrise.config import GraphConfig, to_dict
from graphrise.data.digits import write_digits
from graphrise.data.emoji import write_emoji
from graphrise.data.files import whole_file
from graphrise.data.simulate import SimulatorConfig
from graphrise.errors import DataError
from graphrise.graph.build import build_graph
from graphrise.study.locks import one_at_a_time


@dataclass(frozen=True, kw_only=True)
class EmojiData:
    """Settings of the emoji, `data.*` of a study."""

    simulator: SimulatorConfig = SimulatorConfig()
    labelled: tuple[str, ...] = ("apple",)
    """Vendors whose labels training sees: of apple, google, twitter."""
    labelled_share: float = 1.0
    """Share of the emoji whose labels it sees of them, in (0, 1]; by the simulator's seed."""
    limit: int | None = None
    """Keep every n-th emoji so that about this many are left."""


@dataclass(frozen=True, kw_only=True)
class DigitsData:
    """Settings of the digits, `data.*` of a study."""

    simulator: SimulatorConfig = SimulatorConfig(sessions=4_000, drop_unique_keywords=False)
    labelled: int = 20
    """One image in this many is a labelled gallery image."""


SETTINGS = {"emoji": EmojiData, "digits": DigitsData}


def digest(value: Any) -> str:
    """Sixteen hex digits that follow from plain values."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Source:
    """A dataset and its graph.

    Attributes:
        name: emoji, digits, or a dataset folder.
        settings: Of emoji or digits; None for a folder.
        graph: How the graph is built; None: the one that the dataset folder has.
    """

    name: str
    settings: EmojiData | DigitsData | None
    graph: GraphConfig | None

    def described(self) -> dict[str, Any]:
        """Everything that decides what is trained on, as plain values.

        Of a folder: names and sizes of its tables, and the checksums that its graph has, so that
        it may be moved.

        Raises:
            DataError: No such folder.
        """
        settings = self._folder() if self.settings is None else to_dict(self.settings)
        name = self.name if self.settings is not None else "folder"
        graph = None if self.graph is None else to_dict(self.graph)
        if graph is not None:
            graph.pop("engine")  # all of them build the same graph
        return {"name": name, "settings": settings, "graph": graph}

    def _folder(self) -> dict[str, Any]:
        folder = Path(self.name)
        if not folder.is_dir():
            raise DataError(f"{folder}: no such dataset folder")
        tables = sorted([*folder.glob("*.parquet"), *folder.glob("*.parquet/*")])
        found: dict[str, Any] = {
            file.relative_to(folder).as_posix(): file.stat().st_size
            for file in tables
            if file.is_file()
        }
        if self.graph is None:
            text = (folder / "graph" / "graph.json").read_bytes()
            found["graph"] = hashlib.sha256(text).hexdigest()
        return found

    def dataset(self, out: Path) -> Path:
        """Dataset folder."""
        if self.settings is None:
            return Path(self.name)
        return out / "data" / f"{self.name}-{digest(to_dict(self.settings))}"

    def graph_folder(self, out: Path) -> Path:
        """Graph folder."""
        if self.graph is None:
            return self.dataset(out) / "graph"
        return out / "graphs" / digest(self.described())

    def build_seconds(self, out: Path) -> float | None:
        """Wall time of building the graph; None where this study did not, or did not keep it."""
        file = self._build_file(out)
        if self.graph is None or not file.is_file():
            return None
        return float(json.loads(file.read_text(encoding="utf-8"))["seconds"])

    def _build_file(self, out: Path) -> Path:
        return self.graph_folder(out).with_suffix(".json")

    def ready(self, out: Path) -> bool:
        """Whether both are there."""
        images, graph = self.dataset(out) / "images.parquet", self.graph_folder(out) / "graph.json"
        return images.exists() and graph.is_file()

    def make(self, out: Path) -> None:
        """Write what is missing, one process at a time.

        Args:
            out: Study folder.

        Raises:
            DataError: Pictures could not be fetched, or the tables are wrong.
            ConfigError: Settings that these tables cannot serve.
        """
        with one_at_a_time(out / "locks" / "data"):
            dataset, graph = self.dataset(out), self.graph_folder(out)
            if not (dataset / "images.parquet").exists():
                self._write(dataset, out / "packages")
            if self.graph is not None and not (graph / "graph.json").is_file():
                start = time.perf_counter()
                build_graph(dataset, graph, self.graph)
                seconds = time.perf_counter() - start
                with whole_file(self._build_file(out)) as temporary:
                    temporary.write_text(json.dumps({"seconds": seconds}), encoding="utf-8")

    def _write(self, dataset: Path, cache: Path) -> None:
        given = self.settings
        if isinstance(given, EmojiData):
            write_emoji(
                dataset,
                cache=cache,
                simulator=given.simulator,
                labelled=given.labelled,
                labelled_share=given.labelled_share,
                limit=given.limit,
            )
        elif isinstance(given, DigitsData):
            write_digits(dataset, simulator=given.simulator, labelled=given.labelled)
        else:
            raise DataError(f"{dataset}: not a dataset folder (no images.parquet)")
