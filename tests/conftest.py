"""Small made dataset folders, graphs and runs."""

import dataclasses
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from graphrise.config import (
    EncoderConfig,
    EvaluateConfig,
    GraphConfig,
    ImageConfig,
    RunConfig,
    TrainConfig,
)
from graphrise.graph.build import build_graph
from graphrise.graph.ragged import from_entries
from graphrise.graph.store import COCLICK, Graph
from graphrise.train.run import train

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 220)}


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def noisy(colour, seed, size=(16, 16)):
    """A picture of one colour with noise, so that no two are alike."""
    noise = np.random.default_rng(seed).integers(-30, 31, (size[1], size[0], 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    return encoded(Image.fromarray(pixels))


def save_tables(folder, images, impressions=None, **others):
    """Write a dataset folder from rows (list of dicts) or tables; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in {"images": images, "impressions": impressions, **others}.items():
        if rows is not None:
            table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
            pq.write_table(table, folder / f"{name}.parquet")
    return folder


def coloured_rows():
    """Three colours: per colour one labelled gallery image, three train images, one query."""
    rows = []
    for c, (name, colour) in enumerate(COLOURS.items()):
        for i, split in enumerate(("gallery", "train", "train", "train", "query")):
            rows.append(
                {
                    "image_id": f"{name}-{i}",
                    "image": noisy(colour, 10 * c + i),
                    "split": split,
                    "label": None if split == "train" else name,
                    "group": "colour",
                }
            )
    return rows


def coloured_log():
    """Every colour's four logged images shown and clicked together, two sessions each."""
    return [
        {"session": s, "query": name, "image_id": f"{name}-{i}", "clicked": i != 3 or s % 2 == 0}
        for s, name in enumerate([*COLOURS, *COLOURS])
        for i in range(4)
    ]


def small_run(**stages):
    """A RunConfig of seconds over 16-px images; keyword `stage={field: value}` changes it."""
    base = RunConfig(
        images=ImageConfig(size=16),
        encoder=EncoderConfig(name="test_resnet", dim=8),
        train=TrainConfig(
            epochs=None, passes=24, batch_size=3, threads=1, accelerator="cpu", precision="32-true"
        ),
        evaluate=EvaluateConfig(group="group"),
    )
    changed = {
        name: dataclasses.replace(getattr(base, name), **values)
        if isinstance(values, dict)
        else values
        for name, values in stages.items()
    }
    return dataclasses.replace(base, **changed)


def made_graph(num_nodes, edges, labels=None, names=("a", "b", "c")):
    """Graph from undirected (u, v, weight) and {node: {label: weight}}."""
    both = sorted([(u, v, w) for u, v, w in edges] + [(v, u, w) for u, v, w in edges])
    row = np.array([e[0] for e in both], dtype=np.int64)
    rowptr = np.zeros(num_nodes + 1, dtype=np.int64)
    np.cumsum(np.bincount(row, minlength=num_nodes), out=rowptr[1:])
    entries = [(n, k, w) for n, of in (labels or {}).items() for k, w in of.items()]
    node, label, share = np.array(entries, dtype=float).reshape(-1, 3).T
    ragged = from_entries(node.astype(np.int64), label.astype(np.int64), share, num_nodes)
    return Graph(
        [f"image-{i}" for i in range(num_nodes)],
        rowptr,
        np.array([e[1] for e in both], dtype=np.int32),
        np.array([e[2] for e in both], dtype=np.float32),
        np.full(len(both), COCLICK, dtype=np.uint8),
        {"given": ragged},
        {"given": list(names)},
    )


class Module(pytest.Module):
    """A file that is skipped where it imports a package that is not installed."""

    def collect(self):
        try:
            return super().collect()
        except self.CollectError as error:
            cause = error.__cause__
            if not isinstance(cause, ModuleNotFoundError) or not cause.name:
                raise
            if cause.name.split(".")[0] in ("benchmarks", "graphrise"):
                raise
            pytest.skip(f"needs {cause.name}, which is not installed", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    """With `-m gpu` only: a machine with a GPU may lack what other tests need."""
    if parent.config.getoption("markexpr").split()[:1] == ["gpu"]:
        return Module.from_parent(parent, path=module_path)
    return None


def pytest_collection_modifyitems(items):
    """A test marked `gpu` is skipped without one."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


class Helpers:
    """The functions above, for tests: a conftest cannot be imported."""

    encoded = staticmethod(encoded)
    noisy = staticmethod(noisy)
    save_tables = staticmethod(save_tables)
    coloured_rows = staticmethod(coloured_rows)
    coloured_log = staticmethod(coloured_log)
    small_run = staticmethod(small_run)
    made_graph = staticmethod(made_graph)

    @staticmethod
    def silent(fraction, state):
        """A display for `train` that shows nothing."""


@pytest.fixture(scope="session")
def make():
    return Helpers


@pytest.fixture
def dataset(tmp_path):
    """A coloured dataset folder without a graph."""
    return save_tables(tmp_path / "colours", coloured_rows(), coloured_log())


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """(dataset folder with graph, finished run folder); shared: tests must not change them."""
    folder = tmp_path_factory.mktemp("shared")
    dataset = save_tables(folder / "colours", coloured_rows(), coloured_log())
    graph = build_graph(dataset, dataset / "graph", GraphConfig())
    run = folder / "run"
    config = small_run(edges={"alpha": 0.5, "neighbors": 2}, labels={"spread": True})
    train(dataset, graph, run, config, display=Helpers.silent)
    return dataset, run
