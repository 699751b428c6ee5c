"""Case `head`: a training step of the label head at 40 million labels, its memory, and peers'.

A step is the loss of random embeddings over their own and the sampled labels, its gradient, and the
update of the labels' rows; an encoder is no part of it. Everything is measured in processes of its
own: what is timed against each other in one, in turn step by step, and peak memory in one each.
What the machine cannot hold is in the rows, as missing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks.child import Missing, answer
from benchmarks.head_peers import TABLES
from benchmarks.head_worker import FEWEST, Work
from benchmarks.rows import Row
from graphrise.errors import ConfigError

PARTS = ("labels", "peers", "files")
SMALL = 40_000
"""Labels of the step that the large one is held against."""
PEERS = {"sparse": "nn.Embedding(sparse) + SparseAdam", "dense": "dense gradient + SGD momentum"}
PEER_S = 60.0
"""Seconds of timed steps beside a peer, whose step may take several; ours alone takes them all."""
ROOM_GIB, OTHER_GIB = 20.0, 1.0
"""What a peer may take, and what of it goes to all but the tables."""
GIB = 2**30

Found = dict[str, Any] | Missing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """What is run.

    Attributes:
        labels: C.
        dim: D.
        batch: Images a step.
        negatives: Labels drawn a step.
        steps: Timed steps a process.
    """

    labels: int
    dim: int
    batch: int
    negatives: int
    steps: int

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ConfigError: There are fewer labels than a step draws.
        """
        if self.negatives >= min(self.labels, SMALL):
            raise ConfigError(
                f"head: {self.negatives:,} negatives; there must be fewer than --labels "
                f"({self.labels:,}) and than {SMALL:,}, which they are held against"
            )


def run(
    size: Size, only: Sequence[str], repetitions: int, peer_labels: int | None = None
) -> list[Row]:
    """Measure and give the rows.

    Args:
        size: What is run.
        only: Parts to run: "labels", our head at two sizes, "peers", others at their largest;
            "files" is `head_files`'s.
        repetitions: Processes of every timing.
        peer_labels: Labels of the peers; None: as many as they can hold.

    Raises:
        ConfigError: The peers would have fewer labels than a step draws.
    """
    if peer_labels is not None and peer_labels <= size.negatives:
        raise ConfigError(
            f"head: {size.negatives:,} negatives; there must be fewer than --peer-labels "
            f"({peer_labels:,})"
        )
    rows = [_import_alone(size)]
    if "labels" in only:
        for dtype in ("float32", "bfloat16"):
            rows += _by_size(size, dtype, repetitions)
    if "peers" in only:
        most = peer_labels or largest(size.dim, TABLES * 4 * size.dim)
        both = peer_labels or largest(size.dim, (TABLES + 1) * 4 * size.dim + 4)
        rows += _peer_times(size, both, repetitions) + _peer_memory(size, most)
    return rows


def largest(dim: int, label_bytes: int) -> int:
    """Labels that fit into the room of a peer, in whole hundred thousands.

    Args:
        dim: D.
        label_bytes: Memory of a label.
    """
    return int((ROOM_GIB - OTHER_GIB) * GIB / label_bytes) // 100_000 * 100_000


def gib(ways: Sequence[tuple[str, int]], dim: int) -> float:
    """Memory that tables, and what their optimiser keeps, are made of; GiB."""
    numbers = {"float32": 4 * dim + 4, "bfloat16": 2 * dim + 4}
    return sum(numbers.get(name, TABLES * 4 * dim) * labels for name, labels in ways) / GIB


def _by_size(size: Size, dtype: str, repetitions: int) -> list[Row]:
    """Our head at the two sizes, in turn: step, initialisation, peak memory."""
    ways = [(dtype, size.labels), (dtype, SMALL)]
    found = [_measured(ways, size, steps=size.steps) for _ in range(repetitions)]
    common = common_of(size, found, f"ours, {dtype}, {size.labels:,} labels")
    step = Row(
        metric="training step",
        values=every(found, lambda one: one["steps"][0]),
        unit="ms",
        baseline=f"{SMALL:,} labels",
        baseline_values=every(found, lambda one: one["steps"][1]),
        **common,
    )
    made = Row(
        metric="initialisation",
        values=every(found, lambda one: one["made"][:1]),
        unit="s",
        baseline="bare uniform_, scaled up",
        baseline_values=every(found, lambda one: one["bare"][:1]),
        **common,
    )
    print(f"{common['variant']}: a step takes {1 / step.ratio:.3f} x that of {SMALL:,} labels")
    held = [gib(ways[:1], size.dim) * 1024]
    return [step, made, _memory(found, held, "weights and sums, computed", common)]


def _peer_times(size: Size, labels: int, repetitions: int) -> list[Row]:
    """Steps of ours and of each peer in turn, in one process."""
    rows = []
    for peer, name in PEERS.items():
        ways = [("float32", labels), (peer, labels)]
        found = [
            _measured(ways, size, steps=size.steps, limit_s=PEER_S) for _ in range(repetitions)
        ]
        rows.append(
            Row(
                metric="training step",
                values=every(found, lambda one: one["steps"][0]),
                unit="ms",
                baseline=name_of(name, found),
                baseline_values=every(found, lambda one: one["steps"][1]),
                **common_of(size, found, f"ours, float32, {labels:,} labels"),
            )
        )
    return rows


def _peer_memory(size: Size, labels: int) -> list[Row]:
    """Peak memory of ours and of each peer, each in its own process, and the peers' step there."""
    alone = {way: [_measured([(way, labels)], size, steps=FEWEST)] for way in ("float32", *PEERS)}
    ours = alone.pop("float32")
    common = common_of(size, ours, f"ours, float32, {labels:,} labels")
    return [
        _memory(ours, every(found, peak_of), name_of(PEERS[peer], found), common)
        for peer, found in alone.items()
    ]


def _import_alone(size: Size) -> Row:
    found = [_measured([], size, steps=0)]
    common = common_of(size, found, "import alone")
    return _memory(found, every(found, peak_of), "itself", common)


def _memory(
    found: Sequence[Found], theirs: Sequence[float], baseline: str, common: dict[str, Any]
) -> Row:
    return Row(
        metric="peak memory",
        values=every(found, peak_of),
        unit="MiB",
        baseline=baseline,
        baseline_values=theirs,
        **common,
    )


def _measured(
    ways: list[tuple[str, int]], size: Size, *, steps: int, limit_s: float = math.inf
) -> Found:
    """Of one new process; where there is none, say so."""
    work = Work(
        ways=ways,
        dim=size.dim,
        batch=size.batch,
        negatives=size.negatives,
        steps=steps,
        limit_s=limit_s,
    )
    need = gib(ways, size.dim) + OTHER_GIB
    found = answer("benchmarks.head_worker", dataclasses.asdict(work), need)
    if isinstance(found, Missing):
        what = " and ".join(f"{PEERS.get(way, way)}, {labels:,} labels" for way, labels in ways)
        print(f"missing: {what} ({found.why})")
    return found


def common_of(size: Size, found: Sequence[Found], variant: str) -> dict[str, Any]:
    """What all rows of some processes say: fields of a `Row`."""
    return {
        "case": "head",
        "variant": name_of(variant, found),
        "higher_is_better": False,
        "peak_mib": max(every(found, peak_of)),
        "size": f"D {size.dim}, batch {size.batch}, {size.negatives} negatives of a log-uniform "
        f"law, {torch.get_num_threads()} threads",
    }


def every(found: Sequence[Found], pick: Callable[[dict[str, Any]], Sequence[float]]) -> list[float]:
    """What all processes say, or one NaN if there was none."""
    values = [v for one in found if not isinstance(one, Missing) for v in pick(one)]
    return values or [math.nan]


def peak_of(one: dict[str, Any]) -> list[float]:
    """Peak memory of a process, MiB."""
    return [one["peak_mib"]]


def name_of(name: str, found: Sequence[Found]) -> str:
    """A name, and that and why its figure is missing if it is."""
    why = [one.why for one in found if isinstance(one, Missing)]
    return f"{name}: MISSING, {why[0]}" if len(why) == len(found) else name
