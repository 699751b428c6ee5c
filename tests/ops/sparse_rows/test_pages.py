"""Pages of a mapped file are given back, and no value is lost."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from graphrise.ops.sparse_rows import SparseRows, propagate_sparse
from graphrise.ops.sparse_rows.pages import let_go

SIZE = 1 << 20


@pytest.fixture
def file(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(SIZE))
    return tmp_path / "a.npy"


def resident(file):
    """KiB of a file that are this process's memory."""
    text = Path("/proc/self/smaps").read_text(encoding="utf-8")
    found = re.search(rf"{re.escape(str(file))}\n(?:.*\n)*?Rss:\s+(\d+) kB", text)
    assert found
    return int(found[1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("view", [lambda a: a, lambda a: a.view(np.ndarray), lambda a: a[:]])
def test_what_is_done_with_is_no_longer_resident(file, view):
    array = view(np.load(file, mmap_mode="r"))
    total = int(array.sum())
    assert resident(file) > 8000
    let_go(array, SIZE // 2)
    assert 3500 < resident(file) < 4700
    let_go(array, SIZE)
    assert resident(file) < 300
    assert int(array.sum()) == total


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_graph_that_was_worked_through_is_not_resident(tmp_path):
    nodes, edges = 1000, SIZE
    rowptr = np.arange(nodes + 1) * (edges // nodes)
    rowptr[-1] = edges
    np.save(tmp_path / "col.npy", np.arange(edges) % nodes)
    np.save(tmp_path / "weight.npy", np.ones(edges))
    col, weight = (np.load(tmp_path / f"{n}.npy", mmap_mode="r") for n in ("col", "weight"))
    rows = SparseRows(np.arange(nodes + 1), np.arange(nodes), np.ones(nodes, dtype=np.float32))
    propagate_sparse(rowptr, col, weight, rows)
    assert resident(tmp_path / "col.npy") < 300
    assert resident(tmp_path / "weight.npy") < 300
    assert int(col.sum()) > 0
    assert resident(tmp_path / "col.npy") > 8000


@pytest.mark.parametrize("end", [0, 1, 700, SIZE])
def test_any_end_and_any_array(file, end):
    for array in (np.load(file, mmap_mode="r")[1000:], np.arange(9), np.arange(9)[3:]):
        before = array.copy()
        let_go(array, min(end, array.size))
        np.testing.assert_array_equal(array, before)


def test_a_map_with_changes_of_its_own_keeps_them(file):
    array = np.load(file, mmap_mode="c")
    array[:] = 7
    let_go(array, SIZE)
    assert (array == 7).all()
