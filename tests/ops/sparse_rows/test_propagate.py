"""Sparse rows over a graph: equal to scipy.sparse and dense loops, odd shapes, files, refusals."""

import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.ops.reference.sparse_rows import dense
from graphrise.ops.reference.sparse_rows import propagate_sparse as truth
from graphrise.ops.sparse_rows import SparseRows, open_rows, propagate_sparse, results, step

BACKENDS = ("torch", "numba")
KINDS = [(np.int32, np.float32), (np.int64, np.float32), (np.int64, np.float64)]
backends = pytest.mark.parametrize("backend", BACKENDS)


def csr(counts):
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def made(seed, nodes=40, edges=160, labels=30, each=4, kinds=KINDS[0], edge=np.float32):
    """A random graph (rowptr, col, weight) and rows of up to `each` labels, some empty."""
    rng = np.random.default_rng(seed)
    rowptr = csr(np.bincount(rng.integers(0, max(nodes, 1), edges), minlength=nodes))
    graph = (
        rowptr,
        rng.integers(0, max(nodes, 1), edges).astype(kinds[0]),
        rng.uniform(0.1, 1, edges).astype(edge),
    )
    counts = rng.integers(0, min(each, labels) + 1, nodes)
    index = [np.sort(rng.choice(labels, c, replace=False)) for c in counts]
    weight = rng.uniform(0.1, 1, counts.sum()).astype(kinds[1])
    index = np.concatenate([*index, []]).astype(kinds[0])
    return graph, SparseRows(csr(counts), index, weight)


def same(one, other):
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def valid(rows, top, like):
    """Rows as they are to be: few, rising, of sum 1, above 0, of the input's dtypes."""
    counts = np.diff(rows.rowptr)
    assert rows.rowptr[0] == 0
    assert (counts >= 0).all()
    assert (counts <= top).all()
    assert rows.index.dtype == like.index.dtype
    assert rows.weight.dtype == like.weight.dtype
    assert (rows.weight > 0).all()
    inner = np.ones(max(rows.index.size, 1) - 1, dtype=bool)
    inner[rows.rowptr[(rows.rowptr > 0) & (rows.rowptr < rows.index.size)] - 1] = False
    assert (np.diff(rows.index)[inner] > 0).all()
    total = np.bincount(np.repeat(np.arange(counts.size), counts), rows.weight, counts.size)
    np.testing.assert_allclose(total, counts > 0, rtol=1e-6)


@backends
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    nodes=st.integers(1, 40),
    edges=st.integers(0, 200),
    kinds=st.sampled_from(KINDS),
    own=st.sampled_from([0.0, 1.0, 2.5]),
    power=st.sampled_from([0.5, 1.0, 2.0, 3.7]),
)
def test_equals_scipy(backend, seed, nodes, edges, kinds, own, power):
    sparse = pytest.importorskip("scipy.sparse")
    (rowptr, col, weight), rows = made(seed, nodes, edges, kinds=kinds, edge=kinds[1])
    got = propagate_sparse(rowptr, col, weight, rows, own=own, power=power, top=30, backend=backend)
    valid(got, 30, rows)
    graph = sparse.csr_array((weight.astype(float), col, rowptr), (nodes, nodes))
    q = sparse.csr_array((rows.weight.astype(float), rows.index, rows.rowptr), (nodes, 30))
    want = (own * q + graph @ q).power(power).toarray()
    want /= np.maximum(want.sum(axis=1, keepdims=True), 1e-300)
    precise = kinds[1] is np.float64
    np.testing.assert_allclose(dense(got, 30), want, rtol=1e-13 if precise else 1e-6)


@backends
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    kinds=st.sampled_from(KINDS),
    edge=st.sampled_from([np.float32, np.float64]),
    steps=st.integers(0, 3),
    own=st.sampled_from([0.0, 1.0, 0.3]),
    clamped=st.booleans(),
    top=st.sampled_from([1, 2, 5, 10**9]),
    block=st.integers(1, 60),
)
def test_equals_dense_loops(backend, seed, kinds, edge, steps, own, clamped, top, block):
    graph, rows = made(seed, kinds=kinds, edge=edge)
    clamp = made(seed + 1, kinds=kinds)[1] if clamped else None
    how = {"steps": steps, "own": own, "top": top}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "BLOCK_ENTRIES", block)
        got = propagate_sparse(*graph, rows, **how, clamp=clamp, backend=backend)
    want = truth(*graph, dense(rows, 30), **how, clamp=None if clamp is None else dense(clamp, 30))
    np.testing.assert_allclose(dense(got, 30), want, rtol=1e-5, atol=1e-9)
    if steps == 0:
        same(got, rows)
        return
    same(got, propagate_sparse(*graph, rows, **how, clamp=clamp, backend=backend))
    if clamp is None:
        valid(got, top, rows)


@backends
def test_a_hub_of_many_labels(backend):
    # Node 0 has all others as neighbours, so that its table of labels has to grow more than once.
    nodes, each = 4000, 5
    rng = np.random.default_rng(1)
    rowptr = csr([nodes - 1] + [1] * (nodes - 1))
    col = np.concatenate((np.arange(1, nodes), np.zeros(nodes - 1))).astype(np.int32)
    weight = rng.uniform(0.5, 1, col.size).astype(np.float32)
    index = np.sort(rng.integers(0, 12_000, (nodes, each)), axis=1).astype(np.int32)
    rows = SparseRows(
        csr([each] * nodes), index.ravel(), rng.random(nodes * each).astype(np.float32)
    )
    got = propagate_sparse(rowptr, col, weight, rows, top=9000, power=1.0, backend=backend)
    sums = np.bincount(
        rows.index,
        rows.weight * np.repeat(np.concatenate(([1], weight[: nodes - 1].astype(float))), each),
        12_000,
    )
    best = np.sort(np.argsort(-sums, kind="stable")[:9000])
    best = best[sums[best] > 0]
    np.testing.assert_array_equal(got.index[: got.rowptr[1]], best)
    np.testing.assert_allclose(got.weight[: best.size], sums[best] / sums[best].sum(), rtol=1e-6)
    valid(got, 9000, rows)


@pytest.mark.parametrize("kinds", KINDS)
def test_threads_do_not_change_a_bit(kinds, monkeypatch):
    threads = torch.get_num_threads()
    graph, rows = made(3, nodes=5000, edges=60_000, labels=400, each=8, kinds=kinds)
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(propagate_sparse(*graph, rows, steps=2, backend="numba"))
    finally:
        torch.set_num_threads(threads)
    same(found[0], found[1])
    same(found[0], found[2])
    plain = propagate_sparse(*graph, rows, steps=2, backend="torch")
    np.testing.assert_array_equal(plain.index, found[0].index)
    np.testing.assert_allclose(plain.weight, found[0].weight, rtol=1e-5)


@backends
def test_labels_in_any_order_and_twice(backend):
    rows = SparseRows(
        csr([3, 2]),
        np.array([7, 2, 7, 9, 2]),
        np.array([0.25, 0.5, 0.25, 0.5, 0.5]),
    )
    graph = (csr([1, 0]), np.array([1]), np.array([2.0]))
    got = propagate_sparse(*graph, rows, power=1.0, backend=backend)
    np.testing.assert_array_equal(got.index, [2, 7, 9, 2, 9])
    np.testing.assert_allclose(got.weight, [0.5, 1 / 6, 1 / 3, 0.5, 0.5])


@backends
@pytest.mark.parametrize(("top", "left"), [(1, [0]), (3, [0, 1, 2]), (8, [*range(8)])])
def test_among_equals_the_lowest_labels(backend, top, left):
    rows = SparseRows(
        csr([1] * 20), np.arange(20)[::-1].astype(np.int32), np.ones(20, dtype=np.float32)
    )
    graph = (csr([19] + [0] * 19), np.arange(1, 20, dtype=np.int32), np.ones(19, dtype=np.float32))
    got = propagate_sparse(*graph, rows, top=top, backend=backend)
    assert got.index[: got.rowptr[1]].tolist() == left


@backends
def test_clamped_rows_are_put_back_whole(backend):
    # More labels than `top`, in any order, one of them twice.
    rows = SparseRows(csr([0, 1]), np.array([4]), np.array([1.0]))
    clamp = SparseRows(csr([0, 3]), np.array([7, 2, 7]), np.array([0.5, 0.25, 0.25]))
    graph = (csr([1, 1]), np.array([1, 0]), np.array([1.0, 1.0]))
    how: dict[str, Any] = {"own": 0.5, "top": 1, "clamp": clamp, "backend": backend}
    for steps, seen in ((1, [4]), (2, [7])):
        got = propagate_sparse(*graph, rows, steps=steps, **how)
        assert got.index.tolist() == [*seen, 7, 2, 7]
        assert got.weight.tolist() == [1, 0.5, 0.25, 0.25]
        assert got.rowptr.tolist() == [0, 1, 4]


@backends
def test_huge_and_tiny_powers(backend):
    graph, rows = made(5)
    mixed = propagate_sparse(*graph, rows, power=1.0, top=30, backend=backend)
    for power in (1e5, np.inf):
        got = propagate_sparse(*graph, rows, power=power, backend=backend)
        valid(got, 8, rows)
        assert np.array_equal(np.diff(got.rowptr) > 0, np.diff(mixed.rowptr) > 0)
        for node in np.flatnonzero(np.diff(got.rowptr) == 1):
            part = slice(mixed.rowptr[node], mixed.rowptr[node + 1])
            best = mixed.index[part][mixed.weight[part].argmax()]
            assert got.index[got.rowptr[node]] == best
    flat = propagate_sparse(*graph, rows, power=1e-9, top=30, backend=backend)
    counts = np.diff(flat.rowptr)
    np.testing.assert_allclose(flat.weight, np.repeat(1 / np.maximum(counts, 1), counts), rtol=1e-6)


@backends
def test_nothing_to_do(backend):
    none = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
    no_rows = SparseRows(np.zeros(1, dtype=np.int64), *none)
    same(propagate_sparse(csr([]), *none, no_rows, backend=backend), no_rows)
    graph, rows = made(6)
    empty = SparseRows(np.zeros(41, dtype=np.int64), *none)
    same(propagate_sparse(*graph, empty, backend=backend), empty)
    bare = propagate_sparse(csr([0] * 40), *none, rows, power=1.0, backend=backend)
    np.testing.assert_array_equal(bare.index, rows.index)
    weightless = rows._replace(weight=np.zeros_like(rows.weight))
    same(propagate_sparse(*graph, weightless, backend=backend), empty)


@backends
def test_strided_and_narrow_input(backend):
    (rowptr, col, weight), rows = made(7)
    want = propagate_sparse(rowptr, col, weight, rows, backend=backend)

    def strided(array):
        out = np.zeros(2 * array.size, dtype=array.dtype)
        out[::2] = array
        return out[::2]

    got = propagate_sparse(
        strided(rowptr.astype(np.int32)),
        strided(col.astype(np.int64)),
        strided(weight),
        SparseRows(*(strided(array) for array in rows))._replace(
            rowptr=rows.rowptr.astype(np.int32)
        ),
        backend=backend,
    )
    same(got, want)
    assert rows.weight.flags.writeable


@backends
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_mapped_in_and_out(backend, steps, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "BLOCK_ENTRIES", 40)
    graph, rows = made(8, nodes=3000, edges=9000)
    names = ("rowptr", "col", "weight", "r", "i", "w")
    for name, array in zip(names, (*graph, *rows), strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    mapped = [np.load(tmp_path / f"{n}.npy", mmap_mode="r").view(np.ndarray) for n in names]
    calls = []
    rowptr, col, weight = mapped[:3]
    got = propagate_sparse(
        rowptr,
        col,
        weight,
        SparseRows(*mapped[3:]),
        steps=steps,
        clamp=rows,
        folder=tmp_path / "new" / "rows",
        backend=backend,
        progress=lambda done, of: calls.append((done, of)),
    )
    same(got, propagate_sparse(*graph, rows, steps=steps, clamp=rows, backend=backend))
    same(got, open_rows(tmp_path / "new" / "rows"))
    assert not isinstance(got.index, np.memmap)
    assert not got.index.flags.writeable
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["rows"]
    assert len(calls) == len(set(calls)) >= 100 * steps
    assert calls == sorted(calls)
    assert calls[-1:] == [(3000 * steps, 3000 * steps)] * (steps > 0)
    for name, array in zip(names, (*graph, *rows), strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), array)


def test_an_interrupt_leaves_nothing(tmp_path):
    graph, rows = made(9)

    def interrupt(done, of):
        if done > 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        propagate_sparse(*graph, rows, steps=2, folder=tmp_path / "rows", progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "rows").mkdir()
    with pytest.raises(DataError, match="exists already"):
        propagate_sparse(*graph, rows, folder=tmp_path / "rows")
    with pytest.raises(DataError, match="no sparse rows"):
        open_rows(tmp_path / "rows")


def test_arrays_grow(monkeypatch):
    graph, rows = made(10)
    want = propagate_sparse(*graph, rows, top=30)
    monkeypatch.setattr(results, "ROOM", 1)
    few = SparseRows(rows.rowptr, rows.index[:0], rows.weight[:0])
    grown = results.InMemory(few, 40, 30)
    for node in range(40):
        part = slice(want.rowptr[node], want.rowptr[node + 1])
        counts = np.array([part.stop - part.start])
        grown.add(counts, want.index[part], want.weight[part])
    same(grown.rows(), want)


def test_without_a_compiler(monkeypatch):
    graph, rows = made(11)
    want = propagate_sparse(*graph, rows)
    monkeypatch.setitem(sys.modules, "numba", None)
    np.testing.assert_allclose(propagate_sparse(*graph, rows).weight, want.weight, rtol=1e-6)
    with pytest.raises(ConfigError, match="numba is not installed"):
        propagate_sparse(*graph, rows, backend="numba")
    with pytest.raises(ConfigError, match="'triton' is none of its numba, torch"):
        propagate_sparse(*graph, rows, backend="triton")


def spoiled(array, at, value):
    out = array.copy()
    out[at] = value
    return out


@backends
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"power": 0.0}, ConfigError, "power must be above 0 and top at least 1, got 0.0, 8"),
        ({"power": np.nan}, ConfigError, "power must be above 0"),
        ({"top": 0}, ConfigError, "top at least 1, got 2.0, 0"),
        ({"steps": -1}, ConfigError, "steps must be at least 0, got -1"),
        ({"own": -0.5}, ConfigError, "own must be finite and at least 0, got -0.5"),
        ({"own": np.inf}, ConfigError, "own must be finite"),
        ({"own": np.nan}, ConfigError, "own must be finite"),
        (
            {"clamp": lambda g, r: r._replace(rowptr=np.append(r.rowptr, r.rowptr[-1]))},
            ConfigError,
            "clamp of 41 nodes on a graph of 40 nodes",
        ),
        (
            {"clamp": lambda g, r: r._replace(weight=spoiled(r.weight, 3, -1))},
            DataError,
            r"clamp.weight\[3\] is -1",
        ),
        (
            {"clamp": lambda g, r: r._replace(index=r.index.astype(np.int64))},
            ConfigError,
            "clamp.index is int64, rows.index int32",
        ),
        ({"col": lambda g, r: spoiled(g[1], 9, 40)}, DataError, r"col\[9\] is 40.* \[0, 40\)"),
        ({"col": lambda g, r: spoiled(g[1], 150, -1)}, DataError, r"col\[150\] is -1"),
        ({"col": lambda g, r: g[1][:-1]}, DataError, "160; of 159 entries of col"),
        ({"col": lambda g, r: g[1].astype(float)}, ConfigError, "col must be a int32 or int64"),
        ({"col": lambda g, r: g[1].tolist()}, ConfigError, "col must be a int32 or int64"),
        ({"weight": lambda g, r: spoiled(g[2], 12, np.nan)}, DataError, r"weight\[12\] is nan"),
        ({"weight": lambda g, r: spoiled(g[2], 99, -1)}, DataError, r"weight\[99\] is -1"),
        ({"weight": lambda g, r: g[2].astype(np.float16)}, ConfigError, "weight must be a float32"),
        ({"rowptr": lambda g, r: spoiled(g[0], 5, 159)}, DataError, "falls from 159 to .* row 5"),
        ({"rowptr": lambda g, r: g[0] + 1}, DataError, "rowptr runs from 1 to 161"),
        ({"rowptr": lambda g, r: g[0][:0]}, DataError, "rowptr is empty"),
        ({"rowptr": lambda g, r: g[0][None]}, ConfigError, "rowptr must be"),
        (
            {"rows": lambda g, r: r._replace(rowptr=r.rowptr[r.rowptr < r.rowptr[-1]])},
            DataError,
            "rows.rowptr runs from 0 to",
        ),
        (
            {"rows": lambda g, r: r._replace(rowptr=np.append(r.rowptr, r.rowptr[-1]))},
            ConfigError,
            "labels of 41 nodes on a graph of 40 nodes",
        ),
        (
            {"rows": lambda g, r: r._replace(weight=spoiled(r.weight, 3, np.inf))},
            DataError,
            r"rows.weight\[3\] is inf; weights must be finite",
        ),
        (
            {"rows": lambda g, r: r._replace(index=r.index.astype(np.uint8))},
            ConfigError,
            "rows.index must be a int32 or int64 array",
        ),
    ],
)
def test_wrong_input(backend, change, error, message, monkeypatch):
    monkeypatch.setattr(step, "BLOCK_ENTRIES", 50)
    graph, rows = made(12)
    names = ("rowptr", "col", "weight", "rows")
    arguments: dict[str, Any] = dict(zip(names, (*graph, rows), strict=True))
    arguments |= {n: v(graph, rows) if callable(v) else v for n, v in change.items()}
    with pytest.raises(error, match=message):
        propagate_sparse(**arguments, backend=backend)
