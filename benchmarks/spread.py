"""Case `spread`: labels of a large graph mixed one step over its edges, sharpened and cut.

Graph and labels are made once, as files that are mapped; every measurement is in a process of its
own, whose memory is then the work's, with what of the files is resident. Page cache warm: what is
timed is the work, not the disk. The peers are held against on a part of the size that they can
hold: scipy's product of two sparse matrices, which sums and does no more, and our version without a
compiler.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.child import Missing, answer
from benchmarks.rows import Row
from benchmarks.spread_worker import EACH, TOP, Work, make
from graphrise.errors import ConfigError

PARTS = ("large", "peers")
LIMIT_MIB = 6 * 1024
"""Memory that a graph of 20M nodes is to be spread in."""
SCIPY = "scipy.sparse q + W @ q: no power, no cut"
NUMPY = "ours in numpy"
OTHER_GIB = 1.0

Found = dict[str, Any] | Missing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """What is run.

    Attributes:
        nodes: N of the large graph.
        edges: Its directed edges, about.
        peer_nodes: N of the graph of the peers.
        peer_edges: Its directed edges, about.
    """

    nodes: int
    edges: int
    peer_nodes: int
    peer_edges: int

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ConfigError: A graph would have no edge.
        """
        if min(self.nodes, self.peer_nodes) < 1 or self.edges < self.nodes:
            raise ConfigError("spread: a graph must have a node, and as many edges as nodes")
        if self.peer_edges < self.peer_nodes:
            raise ConfigError("spread: --peer-edges must be at least --peer-nodes")


def run(out: Path, size: Size, only: Sequence[str], repetitions: int) -> list[Row]:
    """Measure and give the rows.

    Args:
        out: Working folder; graphs stay there and are used again (20M nodes and 200M edges: 3.4
            GB, and while results are in files 1.4 GB more).
        size: What is run.
        only: Of PARTS.
        repetitions: Of every timing.

    Raises:
        ConfigError: Nothing to time.
    """
    if repetitions < 1:
        raise ConfigError("--repetitions must be at least 1")
    rows = []
    if "large" in only:
        for way, where in (("memory", "results in memory"), ("files", "results in files")):
            rows += _large(_graph(out, size.nodes, size.edges), size, way, where, repetitions)
    if "peers" in only:
        rows += _peers(_graph(out, size.peer_nodes, size.peer_edges), size, repetitions)
    return rows


def _graph(out: Path, nodes: int, edges: int) -> Path:
    folder = out / f"spread-{nodes}-{edges}"
    if not folder.is_dir():
        make(folder, nodes, edges)
    return folder


def _large(folder: Path, size: Size, way: str, where: str, repetitions: int) -> list[Row]:
    found = _measured(folder, size.nodes, [way], repetitions)
    if isinstance(found, Missing):
        print(f"{where}: {found.why}")
        return []
    seconds, edges = found["seconds"][way], found["edges"]
    common: dict[str, Any] = {
        "case": "spread",
        "variant": f"ours, {where}",
        "baseline": "itself",
        "peak_mib": found["peak_mib"],
        "size": _size(size.nodes, edges),
    }
    # Row pointers, neighbours and weights; row pointers, labels and weights, before and after.
    held = 8 * size.nodes + 8 * edges + 16 * size.nodes + 8 * (EACH * size.nodes + found["kept"])
    rates = {
        "edges a second": [edges / s / 1e6 for s in seconds],
        "label entries a second": [found["entries"] / s / 1e6 for s in seconds],
    }
    against = {f"limit of {LIMIT_MIB // 1024} GiB": LIMIT_MIB, "all arrays, computed": held / 2**20}
    return [
        _row(common, "time", seconds, "s", seconds, higher_is_better=False),
        *(_row(common, name, values, "M/s", values) for name, values in rates.items()),
        *(
            _row(
                {**common, "baseline": name},
                "peak memory",
                [found["peak_mib"]],
                "MiB",
                [mib],
                higher_is_better=False,
            )
            for name, mib in against.items()
        ),
    ]


def _peers(folder: Path, size: Size, repetitions: int) -> list[Row]:
    """Ours and each peer in turn, in one process."""
    rows = []
    for way, name in (("scipy", SCIPY), ("numpy", NUMPY)):
        if way == "scipy" and importlib.util.find_spec("scipy") is None:
            found: Found = Missing("not installed")
        else:
            found = _measured(folder, size.peer_nodes, ["memory", way], repetitions)
        common: dict[str, Any] = {"case": "spread", "variant": "ours, results in memory"}
        if isinstance(found, Missing):
            seconds, theirs, peak, edges = [math.nan], [math.nan], 0.0, size.peer_edges
            name = f"{name}: MISSING, {found.why}"
        else:
            seconds, theirs = found["seconds"]["memory"], found["seconds"][way]
            peak, edges = found["peak_mib"], found["edges"]
        common |= {"baseline": name, "peak_mib": peak, "size": _size(size.peer_nodes, edges)}
        rows.append(_row(common, "time", seconds, "s", theirs, higher_is_better=False))
    return rows


def _row(
    common: dict[str, Any],
    metric: str,
    values: Sequence[float],
    unit: str,
    theirs: Sequence[float],
    *,
    higher_is_better: bool = True,
) -> Row:
    return Row(
        metric=metric,
        values=values,
        unit=unit,
        baseline_values=theirs,
        higher_is_better=higher_is_better,
        **common,
    )


def _measured(folder: Path, nodes: int, ways: list[str], repetitions: int) -> Found:
    work = Work(folder=str(folder.resolve()), ways=ways, repetitions=repetitions)
    need = 2 * nodes * (8 * EACH + 8) / 2**30 + OTHER_GIB
    return answer("benchmarks.spread_worker", dataclasses.asdict(work), need)


def _size(nodes: int, edges: int) -> str:
    return f"{nodes:,} nodes, {edges:,} edges, {EACH} labels a node, top {TOP}, page cache warm"
