"""Case `peers`: metric-learning losses and graphrise's: same encoder, pictures, budget (emoji).

Every run is a process of its own, so that peak memory is its own, one at a time; the seeds come in
turn. What differs between two rows is the loss and the batches that it needs, and where the name
says so the labels: given ones (one drawing of each emoji) or those spread over the graph. Peers'
settings were chosen on the validation vendor (`--sweep`), graphrise's long before (LOG.md).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.child import Missing, answer
from benchmarks.peers_rows import Found, recall, rows_of
from benchmarks.peers_ways import TRIED, Way, ways
from benchmarks.peers_worker import Work
from benchmarks.rows import Row
from graphrise.config import RunConfig, to_dict
from graphrise.demo.drive import prepare_data, with_passes
from graphrise.errors import ConfigError
from graphrise.recipes import RECIPES
from graphrise.study.environment import worker_environment
from graphrise.study.plan import with_seed
from graphrise.train.folder import write_json

NEED_GIB = 2.0
FEWER = 3
"""A run of the sweep has this part of the passes."""


def run(out: Path, seeds: int, passes: int, only: Sequence[str] = ()) -> list[Row]:
    """Train what is missing under `out`, and give the rows.

    Args:
        out: Working folder; finished runs of the same settings are used again.
        seeds: Seeds per way.
        passes: Encoder passes per run.
        only: Names of ways; cross-entropy, which all are held against, always is. Empty: all.

    Raises:
        ConfigError: A name in `only` is none of theirs, or there is no seed.
    """
    chosen = ways(_recipe(passes))
    unknown = set(only) - {way.name for way in chosen}
    if unknown:
        raise ConfigError(f"no way {sorted(unknown)}; there are {[way.name for way in chosen]}")
    if seeds < 1:
        raise ConfigError(f"peers: seeds must be at least 1, got {seeds}")
    chosen = [way for way in chosen if not only or way.name in {chosen[0].name, *only}]
    dataset = _dataset(out)
    found: dict[str, list[Found]] = {way.name: [] for way in chosen}
    for seed in range(seeds):
        for way in chosen:
            found[way.name].append(trained(out, dataset, way, seed))
    base = found[chosen[0].name]
    return [row for way in chosen for row in rows_of(way, found[way.name], base)]


def sweep(out: Path, passes: int, only: Sequence[str] = ()) -> list[Row]:
    """Try every peer's settings on the validation vendor, seed 0, and print which are best.

    Args:
        out: Working folder, as for `run`.
        passes: Of a full run; one of the sweep has a third.
        only: Names of peers. Empty: all.

    Raises:
        ConfigError: A name in `only` is no peer's.
    """
    unknown = set(only) - set(TRIED)
    if unknown:
        raise ConfigError(f"no peer {sorted(unknown)}; there are {list(TRIED)}")
    dataset, every = _dataset(out), [_validated(way) for way in ways(_recipe(passes // FEWER))]
    base = [trained(out, dataset, every[0], 0)]
    rows, lines = [], []
    for way in every:
        if way.name not in (only or TRIED):
            continue
        scores: list[float] = []
        for number, peer in enumerate(TRIED[way.name]):
            one = dataclasses.replace(way, name=f"{way.name}, setting {number}", peer=peer)
            found = trained(out, dataset, one, 0)
            rows += rows_of(one, [found], base)
            missing = isinstance(found, Missing)
            scores.append(-1.0 if missing else recall(way.config.evaluate.queries[0])(found))
        shown = ", ".join("missing" if score < 0 else f"{score:.1f}" for score in scores)
        best = max(range(len(scores)), key=scores.__getitem__)
        entry = f"{json.dumps(way.name)}: {best}," if scores[best] >= 0 else f"# {way.name}:"
        lines.append(f"    {entry}  # facebook: {shown}")
    print("CHOSEN: dict[str, int] = {", *lines, "}", sep="\n")
    return rows


def trained(out: Path, dataset: Path, way: Way, seed: int) -> Found:
    """What a process says that trains and judges, or what it said before."""
    config = with_seed(way.config, seed)
    peer = None if way.peer is None else dataclasses.asdict(way.peer)
    work = dataclasses.asdict(Work(dataset=str(dataset), config=to_dict(config), peer=peer))
    settings = json.loads(json.dumps(work))
    kept = out / "peers" / f"{way.slug}-{config.train.passes}-{seed}.json"
    if kept.is_file():
        before = json.loads(kept.read_text(encoding="utf-8"))
        if before["settings"] == settings:
            return before["found"]
    with worker_environment():
        found = answer("benchmarks.peers_worker", settings, NEED_GIB)
    if isinstance(found, Missing):
        print(f"{way.name}, seed {seed}: missing ({found.why})", flush=True)
        return found
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_json(kept, {"settings": settings, "found": found})
    scores = ", ".join(f"{where} {100 * v:.1f}" for where, v in found["recall@1"].items())
    print(f"{way.name}, seed {seed}: {scores}; {found['rate']:,.0f} images/s", flush=True)
    return found


def _recipe(passes: int) -> RunConfig:
    """`emoji` on the CPU, judged on the validation and the test vendor."""
    recipe = with_passes(RECIPES["emoji"](), passes)
    return dataclasses.replace(
        recipe,
        train=dataclasses.replace(recipe.train, accelerator="cpu"),
        evaluate=dataclasses.replace(recipe.evaluate, queries=recipe.evaluate.queries[-2:]),
    )


def _dataset(out: Path) -> Path:
    return prepare_data(out, "emoji", fast=False, labelled={"part"})["part"].resolve()


def _validated(way: Way) -> Way:
    """The way, judged on the validation vendor alone."""
    asked = way.config.evaluate
    evaluate = dataclasses.replace(asked, queries=asked.queries[:1])
    return dataclasses.replace(way, config=dataclasses.replace(way.config, evaluate=evaluate))
