"""Case `spread`, small: its graph, its rows, and what is missing."""

import importlib.util
import json
import math

import numpy as np
import pytest

from benchmarks import child, spread, spread_worker
from benchmarks.__main__ import main
from graphrise.errors import ConfigError
from graphrise.ops.sparse_rows import SparseRows, propagate_sparse

SIZE = spread.Size(nodes=900, edges=9000, peer_nodes=300, peer_edges=1500)


@pytest.fixture
def here(monkeypatch):
    """Children's work is done in this process; gives what was asked of them."""
    asked = []

    def answer(module, settings, need_gib):
        assert module == "benchmarks.spread_worker"
        asked.append((settings["ways"], settings["repetitions"], need_gib))
        return spread_worker.measure(spread_worker.Work(**json.loads(json.dumps(settings))))

    monkeypatch.setattr(spread, "answer", answer)
    return asked


def test_rows(here, tmp_path):
    pytest.importorskip("scipy")
    rows = spread.run(tmp_path, SIZE, spread.PARTS, 2)
    memory, files = "ours, results in memory", "ours, results in files"
    large = [
        ("time", "itself", 2),
        ("edges a second", "itself", 2),
        ("label entries a second", "itself", 2),
        ("peak memory", "limit of 6 GiB", 1),
        ("peak memory", "all arrays, computed", 1),
    ]
    peers = [(memory, "time", spread.SCIPY, 2), (memory, "time", spread.NUMPY, 2)]
    expected = [(where, *row) for where in (memory, files) for row in large] + peers
    assert [(r.variant, r.metric, r.baseline, len(r.values)) for r in rows] == expected
    for row in rows:
        found = json.loads(json.dumps(row.to_dict()))
        assert found["value"] > 0
        assert found["baseline_value"] > 0
        assert found["peak_mib"] > 50
        assert found["versions"]["numba"]
        assert found["size"].startswith("300 nodes" if row in rows[-2:] else "900 nodes")
    edges = np.load(tmp_path / "spread-900-9000" / "col.npy").size
    assert [s * r for s, r in zip(rows[0].values, rows[1].values, strict=True)] == pytest.approx(
        [edges / 1e6] * 2
    )
    assert rows[2].values[0] / rows[1].values[0] == pytest.approx(8 * (edges + 900) / edges)
    kept = spread_worker._files(*_opened(tmp_path / "spread-900-9000"), tmp_path / "x")
    assert rows[4].baseline_values == [(24 * 900 + 8 * edges + 8 * (8 * 900 + kept)) / 2**20]
    assert [ways for ways, _, _ in here] == [
        ["memory"],
        ["files"],
        ["memory", "scipy"],
        ["memory", "numpy"],
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["spread-300-1500", "spread-900-9000"]


def _opened(folder):
    graph = [spread_worker._mapped(folder, n) for n in ("rowptr", "col", "weight")]
    rows = [spread_worker._mapped(folder, f"label_{n}") for n in SparseRows._fields]
    return graph, SparseRows(*rows)


def test_the_graph_is_seeded_and_skewed(tmp_path, monkeypatch):
    monkeypatch.setattr(spread_worker, "_BLOCK", 1000)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        spread_worker.make(tmp_path / name, 5000, 50_000, seed)
    (one, rows), (again, _), (other, _) = (_opened(tmp_path / n) for n in "abc")
    for a, b in zip(one, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[1][:9000], other[1][:9000])
    assert one[1].size == pytest.approx(50_000, rel=0.1)
    assert np.diff(one[0]).max() > 100
    assert np.bincount(one[1]).max() > 20 * 10
    np.testing.assert_array_equal(np.diff(rows.rowptr), 8)
    assert 0 <= rows.index.min() < 10
    assert 10**7 < rows.index.max() < spread_worker.LABELS
    np.testing.assert_allclose(np.add.reduceat(rows.weight, rows.rowptr[:-1]), 1, rtol=1e-6)


def test_scipy_sums_what_ours_does(tmp_path):
    pytest.importorskip("scipy")
    spread_worker.make(tmp_path / "a", 200, 1000)
    (rowptr, col, weight), rows = _opened(tmp_path / "a")
    every = propagate_sparse(rowptr, col, weight, rows, top=10**6)
    assert spread_worker._scipy([rowptr, col, weight], rows) == every.index.size


def test_what_cannot_be_held_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(spread, "answer", lambda *_: child.Missing("needs 9.0 GiB"))
    rows = spread.run(tmp_path, SIZE, spread.PARTS, 1)
    assert [r.baseline for r in rows] == [
        f"{name}: MISSING, needs 9.0 GiB" for name in (spread.SCIPY, spread.NUMPY)
    ]
    assert all(math.isnan(r.ratio) for r in rows)
    assert "results in files: needs 9.0 GiB" in capsys.readouterr().out


def test_a_peer_that_is_not_installed(here, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "scipy" else find(n))
    rows = spread.run(tmp_path, SIZE, ["peers"], 1)
    assert "MISSING, not installed" in rows[0].baseline
    assert [ways for ways, _, _ in here] == [["memory", "numpy"]]


def test_worker_speaks_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(spread_worker, "first_to_go", lambda: None)
    spread_worker.make(tmp_path / "a", 50, 100)
    settings = {"folder": str(tmp_path / "a"), "ways": ["files"], "repetitions": 3}
    spread_worker.main(json.dumps(settings))
    found = json.loads(capsys.readouterr().out)
    assert len(found["seconds"]["files"]) == 3
    assert found["entries"] == 8 * (50 + found["edges"])

    def full(work):
        raise MemoryError

    monkeypatch.setattr(spread_worker, "measure", full)
    spread_worker.main(json.dumps(settings))
    assert json.loads(capsys.readouterr().out) == {"missing": "memory could not be allocated"}


def test_refusals(tmp_path, capsys):
    out = ["spread", "--out", str(tmp_path)]
    assert main([*out, "--nodes", "0"]) == 1
    assert "must have a node" in capsys.readouterr().err
    assert main([*out, "--peer-edges", "5"]) == 1
    assert "--peer-edges" in capsys.readouterr().err
    assert main([*out, "--repetitions", "0"]) == 1
    assert "--repetitions" in capsys.readouterr().err
    with pytest.raises(ConfigError):
        spread.Size(nodes=9, edges=8, peer_nodes=1, peer_edges=1)
