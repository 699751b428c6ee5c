"""Case `loader`: pictures a second through the whole loader, and what the encoder waits for it.

The datasets are made and packed once: photographs' windows, q90, half of them labelled, each with
eight neighbours. Short side 256 px is what `graphrise pack` writes; pictures of short side 171 px,
whose long side is 256 at most, have half the pixels: by such the design's rate was set. Nothing is
cached where decoding is what is timed.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import loader_augment, loader_rate, loader_step
from benchmarks.photos import photos
from benchmarks.rows import Row
from graphrise.config import EdgeConfig, EncoderConfig, ImageConfig, RunConfig, TrainConfig
from graphrise.data.files import whole_folder
from graphrise.graph.convert.from_edges import graph_from_edges, named_labels
from graphrise.graph.store import Graph, open_graph, save_graph
from graphrise.images.pack import pack

PARTS = ("rate", "augment", "step")
IMAGES = 4096
SIDES = (256, 171)
SMALL = 32


def run(out: Path, only: Sequence[str], repetitions: int) -> list[Row]:
    """Make what is missing under `out`, time, and give the rows.

    Args:
        out: Working folder, kept.
        only: Parts to run.
        repetitions: Timed repetitions of every way, interleaved.
    """
    rows = loader_augment.run(repetitions) if "augment" in only else []
    if not {"rate", "step"} & set(only):
        return rows
    packed = {side: _dataset(out / f"photos-{side}", side) for side in SIDES}
    if "rate" in only:
        for side, dataset in packed.items():
            rows += loader_rate.run(dataset, open_graph(dataset / "graph"), side, repetitions)
    if "step" in only:
        small = _dataset(out / f"photos-{SMALL}", SMALL, png=True)
        for name, dataset, config, steps in _trainings(packed[SIDES[0]], small):
            graph = open_graph(dataset / "graph")
            rows += loader_step.run(name, dataset, graph, config, steps, repetitions)
    return rows


def _trainings(large: Path, small: Path) -> list[tuple[str, Path, RunConfig, int]]:
    """Name, dataset, settings and steps a repetition: ResNet-50, and the demo's encoder.

    ResNet-50 in the precision that a run has by itself; the small one, of short steps, in both, and
    with a thread, as the demo trains it, and as many as cores.
    """
    resnet = RunConfig(
        edges=EdgeConfig(alpha=1.0),
        images=ImageConfig(size=224, crop_pct=0.875, cache_mib=0),
        train=TrainConfig(batch_size=8),
    )
    demo = dataclasses.replace(
        resnet,
        images=ImageConfig(size=SMALL),
        encoder=EncoderConfig(name="test_resnet"),
        train=TrainConfig(batch_size=64),
    )

    def demo_with(precision: Literal["bf16-mixed", "32-true"], threads: int | None) -> RunConfig:
        train = dataclasses.replace(demo.train, precision=precision, threads=threads)
        return dataclasses.replace(demo, train=train)

    name = "demo CNN, 32 px, cached"
    return [
        ("resnet50, 224 px, decoded anew", large, resnet, 3),
        (f"{name}, float32, 1 thread", small, demo_with("32-true", 1), 60),
        (f"{name}, bfloat16, 1 thread", small, demo_with("bf16-mixed", 1), 60),
        (f"{name}, float32", small, demo_with("32-true", None), 60),
        (f"{name}, bfloat16", small, demo_with("bf16-mixed", None), 60),
    ]


def _dataset(path: Path, side: int, *, png: bool = False) -> Path:
    """A dataset of IMAGES photographs with its graph: packed JPEGs, or square PNGs."""
    if not (path / "graph" / "graph.json").is_file():
        with whole_folder(path, overwrite=True) as folder:
            pictures = photos(IMAGES, side=side) if png else photos(IMAGES, short=side)
            table = {
                "image_id": pa.array(np.arange(IMAGES)),
                "image": pa.array(pictures, pa.large_binary()),
                "split": pa.array(["train"] * IMAGES),
            }
            pq.write_table(pa.table(table), folder / "images.parquet")
            save_graph(_graph(), folder / "graph")
    if not png and not (path / "packed" / "pack.json").is_file():
        pack(path, side=side, workers=os.cpu_count())
    return path


def _graph() -> Graph:
    """Every image with eight neighbours of random weight; every second one is labelled."""
    rng = np.random.default_rng(0)
    source = np.repeat(np.arange(IMAGES), 4)
    target = (source + 1 + rng.integers(0, IMAGES - 1, source.size)) % IMAGES
    node = np.arange(0, IMAGES, 2)
    name = np.array([f"label {n % 512}" for n in node])
    labels, vocabulary = named_labels(node, name, np.ones(node.size), IMAGES)
    return graph_from_edges(
        source,
        target,
        rng.random(source.size) + 0.1,
        num_nodes=IMAGES,
        labels={"given": labels},
        vocabulary={"given": vocabulary},
    )
