"""Memory that comes back when nobody holds it, and not before."""

import gc
import threading

import numpy as np
import pytest
import torch

from graphrise.images.recycled import Recycled


def place(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("shape", [(3, 4, 4, 3), (1,), (0, 8, 8, 3)])
def test_shapes(shape):
    array = Recycled().take(shape)
    assert array.shape == shape
    assert array.dtype == np.uint8
    assert array.flags.c_contiguous
    assert array.flags.writeable


def test_dropped_memory_is_given_again():
    memory = Recycled()
    array = memory.take((100, 10))
    first = place(array)
    del array
    # A little more than before: batches differ in size.
    assert place(memory.take((101, 10))) == first


def test_a_larger_one_is_new_and_replaces_it():
    memory = Recycled()
    memory.take((10,))
    array = memory.take((1000,))
    array[:] = 7
    first = place(array)
    del array
    assert place(memory.take((1000,))) == first


KEEPERS = {
    "the array": lambda a: a,
    "a row of it": lambda a: a[3],
    "another type": lambda a: a[2:].view(np.int32),
    "a tensor": torch.from_numpy,
    "a view of a tensor": lambda a: torch.from_numpy(a).view(-1, 4)[5:].t(),
    "numpy of a tensor": lambda a: torch.from_numpy(a).permute(1, 0).numpy(),
    "a memoryview": lambda a: memoryview(a)[1:],
}


@pytest.mark.parametrize("keep", KEEPERS.values(), ids=KEEPERS)
def test_what_is_held_in_any_way_stays(keep):
    memory = Recycled()
    array = memory.take((8, 8))
    array[:] = 5
    first, held = place(array), keep(array)
    del array
    gc.collect()
    others = [memory.take((8, 8)) for _ in range(3)]
    for other in others:
        other[:] = 9
    assert first not in [place(other) for other in others]
    assert set(np.asarray(held).view(np.uint8).ravel().tolist()) == {5}
    del held
    gc.collect()
    assert first == place(memory.take((8, 8)))


def test_no_more_than_four_wait():
    memory = Recycled()
    many = [memory.take((64,)) for _ in range(10)]
    places = {place(array) for array in many}
    del many
    assert len(memory._free) == 4
    assert {place(block) for block in memory._free} <= places


def test_threads_never_share_one():
    memory, clashes = Recycled(), []

    def work(mark):
        for _ in range(300):
            array = memory.take((500,))
            array[:] = mark
            if (array != mark).any():
                clashes.append(mark)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not clashes
