"""Case `nsl`: training against Neural Structured Learning's, on the same images and network.

Both train timm's test_resnet from the same weights on the same batches (one neighbour an image) for
as many steps, on all cores, and are judged by the same code. NSL gets the batches written down, as
they were augmented, which costs it nothing, and then augments them by itself in tf.data, as
graphrise does. It regularises the softmax output, as its own examples do; how strongly is chosen on
the validation vendor. Its rate is that after the first steps, graphrise's that of whole runs.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.nsl_batches import built, write_batches
from benchmarks.rows import Row
from benchmarks.train import LABELLED
from graphrise.config import EdgeConfig, RunConfig
from graphrise.data.files import whole_file
from graphrise.demo.drive import prepare_data
from graphrise.errors import ConfigError
from graphrise.evaluate.run import ImageSets
from graphrise.graph.store import Graph, open_graph
from graphrise.images.dataset import open_images
from graphrise.nn.encoder import Encoder, load_encoder
from graphrise.recipes import RECIPES
from graphrise.train.run import train

PLAIN = "NSL's Keras loop, no graph"
FIRST = 1e-4
"""How far the first loss of both may be apart, the one network computed by two libraries."""
DEFAULTS = {"own_input": False}
SWEPT = [
    *(("l2", multiplier) for multiplier in (10.0, 100.0, 1000.0)),
    *(("kl_divergence", multiplier) for multiplier in (0.1, 1.0, 3.0, 10.0)),
]
"""NSL's distance and multiplier; one of them is chosen."""


@dataclass
class Found:
    """What the runs of one model gave, one value a seed."""

    recall: dict[str, list[float]] = field(default_factory=dict)
    rate: list[float] = field(default_factory=list)
    peak_mib: float = 0.0

    def add(self, recall: Mapping[str, float], rate: float, peak_mib: float) -> None:
        """One run more."""
        for name, value in recall.items():
            self.recall.setdefault(name, []).append(100 * value)
        self.rate.append(rate)
        self.peak_mib = max(self.peak_mib, peak_mib)


def run(
    out: Path,
    python: Path | None,
    seeds: int,
    steps: int,
    chosen: tuple[str, float] | None = None,
) -> list[Row]:
    """Train both, and compare.

    Args:
        out: Working folder, kept.
        python: Interpreter that has neural_structured_learning.
        seeds: Seeds.
        steps: Of a run, about: whole epochs of 22.
        chosen: Distance and multiplier of NSL's; None: the best of `SWEPT` on validation.

    Raises:
        ConfigError: There is no such interpreter, or its network is another.
    """
    if python is None or not python.is_file():
        raise ConfigError(
            "case nsl needs --nsl PYTHON, with tensorflow 2.15 and neural-structured-learning"
        )
    dataset = prepare_data(out, "emoji", fast=False, labelled={"part"})["part"]
    graph, recipe = open_graph(dataset / "graph"), _recipe(steps)
    sets = ImageSets(*open_images(dataset), recipe.evaluate, recipe.images)
    found: dict[str, Found] = {}
    for seed in range(seeds):
        config = _seeded(recipe, seed)
        for name, model in _ours(config).items():
            _train(dataset, graph, out / "nsl", model, sets, found.setdefault(name, Found()))
        with tempfile.TemporaryDirectory(dir=out) as temporary:
            folder = Path(temporary)
            first = write_batches(dataset, graph, config, folder)
            peer = _Peer(python, folder, first, dataset, graph, config, sets)
            chosen = chosen or _choose(peer)
            for name, settings in _theirs(chosen).items():
                found.setdefault(name, Found()).add(*peer.run(**settings))
    return _rows(found, recipe, steps, seeds)


def _recipe(steps: int) -> RunConfig:
    """The emoji recipe in float32, for about so many steps."""
    recipe, change = RECIPES["emoji"](), dataclasses.replace
    batches = -(-LABELLED // recipe.train.batch_size)
    epochs = float(max(1, round(steps / batches)))
    return change(
        recipe,
        edges=EdgeConfig(alpha=1.0),
        train=change(
            recipe.train,
            passes=None,
            epochs=epochs,
            accelerator="cpu",
            precision="32-true",
            threads=None,  # all cores, as TensorFlow has them
        ),
    )


def _seeded(config: RunConfig, seed: int) -> RunConfig:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, seed=seed))


def _ours(config: RunConfig) -> dict[str, RunConfig]:
    """The models of graphrise, all of as many steps (spread labels give an epoch more images)."""
    change, epochs = dataclasses.replace, config.train.epochs
    assert epochs is not None
    none = change(config, edges=EdgeConfig(alpha=0.0))
    budget = change(config.train, epochs=None, passes=round(epochs * LABELLED))
    spread = change(none, labels=change(config.labels, spread=True), train=budget)
    half = change(config, train=change(config.train, precision="bf16-mixed"))
    return {
        "cross-entropy": none,
        "edge term": config,
        "edge term, bfloat16": half,
        "spread labels": spread,
    }


def _train(
    dataset: Path, graph: Graph, run: Path, config: RunConfig, sets: ImageSets, found: Found
) -> None:
    result = train(
        dataset, graph, run, config, display=lambda fraction, state: None, overwrite=True
    )
    neighbors = 1 + config.edges.used * config.edges.neighbors
    found.add(
        _recall(sets, load_encoder(run)[0]),
        result.passes / neighbors / result.seconds,
        result.peak_mib,
    )


def _recall(sets: ImageSets, encoder: Encoder) -> dict[str, float]:
    queries = sets.config.queries[-2:]  # validation and test
    scores = sets.scores(encoder.eval(), queries)
    return {where: score.metrics["recall@1"] for where, score in scores.items()}


@dataclass(frozen=True)
class _Peer:
    """NSL on the batches of one seed."""

    python: Path
    folder: Path
    first: float
    dataset: Path
    graph: Graph
    config: RunConfig
    sets: ImageSets

    def run(self, **settings: Any) -> tuple[dict[str, float], float, float]:
        """Recall by query set, labelled images a second, peak memory in MiB.

        Args:
            settings: `multiplier`, `distance`.

        Raises:
            ConfigError: The peer's network is not ours: its first loss is another.
        """
        batches = json.loads((self.folder / "batches.json").read_text(encoding="utf-8"))
        with whole_file(self.folder / "settings.json") as temporary:
            temporary.write_text(json.dumps({**batches, **DEFAULTS, **settings}), encoding="utf-8")
        script = Path(__file__).with_name("nsl_train_peer.py")
        command = [self.python, script, self.folder]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        told = json.loads(done.stdout.strip().splitlines()[-1])
        print(f"NSL {told['nsl']}, TensorFlow {told['tensorflow']}, {settings}: {told}")
        if abs(told["first_loss"] - self.first) > FIRST:
            raise ConfigError(
                f"the peer's first loss is {told['first_loss']}, ours {self.first}: it trains "
                "another network"
            )
        recall = _recall(self.sets, self._trained())
        return recall, told["labelled_a_second"], told["peak_mib"]

    def _trained(self) -> Encoder:
        """Its weights in our encoder."""
        _, module = built(self.dataset, self.graph, self.config)
        with np.load(self.folder / "trained.npz") as found:
            state = {n: torch.from_numpy(found[n]) for n in found.files if n != "head.weight"}
        left = module.encoder.load_state_dict(state, strict=False)
        assert not left.unexpected_keys
        assert all(name.endswith("num_batches_tracked") for name in left.missing_keys)
        return module.encoder


def _choose(peer: _Peer) -> tuple[str, float]:
    """Distance and multiplier that are best on the validation vendor."""
    validation = peer.sets.config.queries[-2]
    scores = {}
    for distance, multiplier in SWEPT:
        recall, *_ = peer.run(distance=distance, multiplier=multiplier)
        scores[distance, multiplier] = recall[validation]
        print(f"NSL, {distance} x {multiplier:g}: {validation} recall@1 {recall[validation]:.3f}")
    return max(scores, key=lambda setting: scores[setting])


def _theirs(chosen: tuple[str, float]) -> dict[str, dict[str, Any]]:
    distance, multiplier = chosen
    name, given = f"NSL, {distance} x {multiplier:g}", {"distance": distance}
    return {
        PLAIN: {"multiplier": 0.0, **given},
        name: {"multiplier": multiplier, **given},
        f"{name}, own input": {"multiplier": multiplier, **given, "own_input": True},
    }


def _rows(found: Mapping[str, Found], recipe: RunConfig, steps: int, seeds: int) -> list[Row]:
    """Quality of all against NSL's; and images a second against NSL's of as much work."""
    name = next(name for name in found if name.startswith("NSL, "))
    own = f"{name}, own input"
    # Of NSL in bfloat16 there is none: its divergences refuse distributions of that precision.
    rivals = {"edge term": own, "edge term, bfloat16": own}
    common: dict[str, Any] = {
        "case": "nsl",
        "size": f"emoji, {recipe.images.size} px, {recipe.train.batch_size} labelled images a "
        f"batch and a neighbour each, about {steps:,} steps, {seeds} seeds",
    }
    rows = []
    for variant, model in found.items():
        rival = rivals.get(
            variant, PLAIN if variant in ("cross-entropy", "spread labels") else name
        )
        common |= {"variant": variant, "peak_mib": model.peak_mib}
        rows += [
            Row(
                metric=f"recall@1 {where}",
                values=values,
                unit="%",
                baseline=name,
                baseline_values=found[name].recall[where],
                **common,
            )
            for where, values in model.recall.items()
        ]
        rows.append(
            Row(
                metric="labelled images",
                values=model.rate,
                unit="images/s",
                baseline=rival,
                baseline_values=found[rival].rate,
                **common,
            )
        )
    return rows
