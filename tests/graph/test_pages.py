"""Scattered reads: the file, the map and memory give the same values."""

import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

from graphrise.errors import DataError
from graphrise.graph import pages
from graphrise.graph.pages import Scattered

SIZE = 3_000_000


@pytest.fixture(autouse=True)
def large(monkeypatch):
    """Every array of the tests counts as large."""
    monkeypatch.setattr(pages, "SMALL", 0)


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).integers(0, 2**40, SIZE)


@pytest.fixture(scope="module")
def file(values, tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "values.npy"
    np.save(path, values)
    return path


def mapped(path):
    """An array as `open_graph` gives it."""
    return np.load(path, mmap_mode="r").view(np.ndarray)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize("few", [0, 16, 10**6])
def test_all_ways_of_reading_agree(kind, few, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "FEW", few)
    array = np.random.default_rng(1).integers(0, 1000, 500).astype(kind)
    np.save(tmp_path / "a.npy", array)
    index = np.array([0, 499, 7, 7, 250, *range(100, 130)])
    for found in (Scattered(mapped(tmp_path / "a.npy")), Scattered(array)):
        assert found.at(index).dtype == array.dtype
        np.testing.assert_array_equal(found.at(index), array[index])
        assert found.at(index).flags.writeable
        first, second = found.pairs(index[2:])
        np.testing.assert_array_equal(first, array[index[2:]])
        np.testing.assert_array_equal(second, array[index[2:] + 1])
        assert found.at(index[:0]).size == 0


def test_rows_one_after_another(file, values):
    start, count = np.array([5, 0, SIZE - 3, 9]), np.array([4, 0, 3, 20_000])
    found = Scattered(mapped(file)).rows(start, count)
    expected = np.concatenate([values[a : a + n] for a, n in zip(start, count, strict=True)])
    np.testing.assert_array_equal(found, expected)


def test_which_arrays_are_read_by_file(file, values, monkeypatch):
    assert Scattered(mapped(file)).by_file(pages.FEW)
    assert not Scattered(mapped(file)).by_file(pages.FEW + 1)
    assert not Scattered(values).by_file(1)
    # Offsets of a part are not the file's, and what was written to a private map is not in it.
    assert not Scattered(mapped(file)[5:]).by_file(1)
    assert not Scattered(np.load(file, mmap_mode="r")[5:].view(np.ndarray)).by_file(1)
    assert not Scattered(np.load(file, mmap_mode="c").view(np.ndarray)).by_file(1)
    monkeypatch.setattr(pages, "SMALL", values.nbytes)
    assert not Scattered(mapped(file)).by_file(1)


def resident(path):
    """KiB of a mapped file that count as this process's memory."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            inside = line.endswith(str(path))
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_few_reads_leave_nothing_resident(file, values, monkeypatch):
    index = np.random.default_rng(2).integers(0, SIZE, 2000)
    array = mapped(file)
    found = Scattered(array)
    np.testing.assert_array_equal(found.at(index), values[index])
    assert resident(file) == 0
    monkeypatch.setattr(pages, "FEW", 0)
    np.testing.assert_array_equal(found.at(index), values[index])
    assert resident(file) > values.nbytes // 1024 * 0.9


def test_threads_share_one(file, values):
    found, wrong = Scattered(mapped(file)), []

    def read(seed):
        index = np.random.default_rng(seed).integers(0, SIZE - 1, 3000)
        first, second = found.pairs(index)
        if (first != values[index]).any() or (second != values[index + 1]).any():
            wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_pickled_one_is_a_path_and_opens_the_file_itself(file, values):
    found = Scattered(mapped(file))
    packed = pickle.dumps(found)
    assert len(packed) < 1000
    again = pickle.loads(packed)
    assert again.by_file(1)
    assert again._descriptor != found._descriptor
    np.testing.assert_array_equal(again.at(np.array([3, 4])), values[3:5])
    in_memory = pickle.loads(pickle.dumps(Scattered(values[:10])))
    np.testing.assert_array_equal(in_memory.array, values[:10])


def test_the_file_is_closed_with_it(file):
    found = Scattered(mapped(file))
    descriptor = found._descriptor
    os.fstat(descriptor)
    del found
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_file_that_is_gone_or_another(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(100))
    array = mapped(path)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.npy: gone since the graph was opened"):
        Scattered(array)
    for other in (np.arange(100) + 1, np.arange(101)):
        np.save(path, other)
        with pytest.raises(DataError, match=r"a\.npy: replaced since the graph was opened"):
            Scattered(array)


def test_a_file_cut_short_later(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(100_000))
    found = Scattered(mapped(path))
    os.truncate(path, 1000)
    with pytest.raises(DataError, match=r"a\.npy: cut short"):
        found.at(np.array([99_999]))
