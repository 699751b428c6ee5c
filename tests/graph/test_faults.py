"""What goes wrong in the middle of a build: a clear error, the old graph untouched, no litter."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphrise.config import CoclickConfig, EngineConfig, GraphConfig
from graphrise.errors import DataError
from graphrise.graph import arrays, store
from graphrise.graph.build import build_graph
from graphrise.graph.engine import duckdb as engine_duckdb

ROWS = 200_000


@pytest.fixture(scope="module")
def large(tmp_path_factory, make):
    """A log that takes a second, in four parts."""
    draw = np.random.default_rng(0)
    images = pa.table(
        {
            "image_id": pa.array(np.arange(2000)),
            "split": pa.array(["train"] * 2000),
            "path": pa.array(["x"] * 2000),
        }
    )
    folder = make.save_tables(tmp_path_factory.mktemp("large") / "d", images)
    (folder / "impressions").mkdir()
    for part in range(4):
        log = pa.table(
            {
                "session": pa.array(draw.integers(0, 50_000, ROWS)),
                "query": pa.array([f"query number {q}" for q in draw.integers(0, 3000, ROWS)]),
                "image_id": pa.array(draw.integers(0, 2000, ROWS)),
                "clicked": pa.array(draw.random(ROWS) < 0.5),
            }
        )
        pq.write_table(log, folder / "impressions" / f"{part}.parquet")
    return folder


@pytest.fixture
def old(logged, build):
    """A small graph in its place, and what its files hold."""
    folder = logged([(0, "q", i, 1) for i in "abc"])
    build(folder, GraphConfig())
    return folder / "graph", contents(folder / "graph")


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def check_untouched(old):
    path, before = old
    assert contents(path) == before
    assert sorted(p.name for p in path.parent.iterdir() if p.name.startswith(".")) == []


def test_the_memory_limit(large, old, monkeypatch):
    config = GraphConfig(engine=EngineConfig(memory_gb=0.5))
    # Half a gigabyte is plenty here: out-of-core is not an error.
    assert build_graph(large, old[0].parent / "fine", config).num_edges > 0
    monkeypatch.setattr(engine_duckdb, "_SHARE", 0.01)
    message = r"more memory is needed than 0\.5 GB .*--graph\.engine\.memory_gb"
    with pytest.raises(DataError, match=message):
        build_graph(large, old[0], config, overwrite=True)
    check_untouched(old)


FULL = """
import resource, signal, sys
from graphrise.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk(large, old):
    command = [sys.executable, "-c", FULL, "build-graph", str(large), "--out", str(old[0])]
    done = subprocess.run([*command, "--overwrite"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no space left on the disk of" in done.stderr
    assert "give --graph.engine.spill" in done.stderr
    assert "Traceback" not in done.stderr
    check_untouched(old)


def test_no_room_for_an_array(large, old, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(arrays.os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left on device: .*\.npy"):
        build_graph(large, old[0], GraphConfig(), overwrite=True)
    check_untouched(old)


TOLD = """
import signal, sys
from graphrise.cli import main
from graphrise.graph import progress
progress._PAUSE = 0.0  # every stage, however short
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
sys.exit(main(sys.argv[1:]))
"""


def started(large, old):
    command = [sys.executable, "-c", TOLD, "build-graph", str(large), "--out", str(old[0])]
    process = subprocess.Popen([*command, "--overwrite"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "counting clicks" in line:
            return process
    raise AssertionError("the build ended before it counted clicks")


def test_ctrl_c(large, old):
    process = started(large, old)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.endswith("graphrise: interrupted\n")
    check_untouched(old)


def test_sigkill(large, old, build):
    process = started(large, old)
    process.kill()
    process.communicate()
    path, before = old
    assert contents(path) == before
    assert [p for p in path.parent.iterdir() if p.name.startswith(".graph.")]
    # The next build clears away what the dead one left.
    build(path.parent, GraphConfig())
    check_untouched(old)


@pytest.mark.parametrize("how", ["cut", "page"])
def test_a_corrupt_part(large, old, tmp_path, how):
    folder = tmp_path / "d2"
    (folder / "impressions").mkdir(parents=True)
    os.link(large / "images.parquet", folder / "images.parquet")
    for part in (large / "impressions").iterdir():
        os.link(part, folder / "impressions" / part.name)
    bad = folder / "impressions" / "2.parquet"
    data = bytearray(bad.read_bytes())
    bad.unlink()
    half = len(data) // 2
    data[half : half + 20_000] = b"" if how == "cut" else b"\xaa" * 20_000
    bad.write_bytes(data[:half] if how == "cut" else data)
    with pytest.raises(DataError, match=r"impressions/2\.parquet: (damaged at row|not a readable)"):
        build_graph(folder, old[0], GraphConfig(), overwrite=True)
    check_untouched(old)


def test_ids_above_int32(logged, build, read, monkeypatch):
    folder = logged([(0, "q", i, 1) for i in "abc"])
    narrow = build(folder, GraphConfig())
    assert narrow.col.dtype == np.int32
    monkeypatch.setattr(store, "ID_LIMIT", 8)  # the graph's 8 nodes stand for 2^31
    wide = build(folder, GraphConfig())
    assert wide.col.dtype == np.int64
    assert read.edges(wide) == read.edges(narrow)


def test_a_query_with_a_million_images(make, build, tmp_path):
    count = 1_000_000
    images = pa.table(
        {
            "image_id": pa.array(np.arange(count)),
            "split": pa.repeat(pa.scalar("train"), count),
            "path": pa.repeat(pa.scalar("x"), count),
        }
    )
    clicks = pa.table(
        {
            "query": pa.repeat(pa.scalar("photo"), count),
            "image_id": pa.array(np.arange(count)),
            "clicks": pa.array(1 + np.arange(count) % 7),
        }
    )
    folder = make.save_tables(tmp_path / "d", images, clicks=clicks)
    graph = build(folder, GraphConfig(coclick=CoclickConfig(images_per_query=50, top_k=None)))
    assert graph.num_edges == 50 * 49
    assert graph.info["counts"]["clicked_pairs_over_cap"] == count - 50
    assert any("999,950 (query, image) pairs cut" in w for w in graph.info["warnings"])
    # The cap is on edges: every image keeps its label.
    assert graph.info["labels"]["queries"]["coverage"] == 1


def test_a_kind_without_edges(logged, build):
    folder = logged([(0, "q", "a", 1), (1, "r", "b", 1)])
    build(folder, GraphConfig())
    before = contents(folder / "graph")
    with pytest.raises(DataError, match=r"graph\.kinds has coclick, but its table or its rules"):
        build(folder, GraphConfig(kinds=("coclick",)))
    assert contents(folder / "graph") == before
    with pytest.raises(DataError, match=r"graph\.kinds has given, but there is no edges\.parquet"):
        build(folder, GraphConfig(kinds=("given",)))
