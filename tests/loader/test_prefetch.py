"""Items made ahead by a thread, or in rows: their order, their errors, when they are made."""

import threading
from typing import Any

import pytest

from graphrise.loader.prefetch import ahead, in_rows


def helpers():
    return [t for t in threading.enumerate() if t.name == "graphrise-batches"]


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_the_same_items_in_order(depth):
    assert list(ahead(lambda: range(30), depth)) == list(range(30))
    assert list(ahead(list, depth)) == []
    assert helpers() == []


def test_an_item_may_be_anything():
    items = [None, StopIteration, ValueError("an item"), ()]
    assert list(ahead(lambda: items, 2)) == items


class Broken(Exception):
    pass


def collect(seen, items):
    for item in items:
        seen.append(item)


@pytest.mark.parametrize("error", [Broken("here"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_comes_where_the_item_would_have_been(error):
    def source():
        yield 1
        yield 2
        raise error

    seen = []
    with pytest.raises(type(error)) as caught:
        collect(seen, ahead(source, 5))
    assert caught.value is error
    assert seen == [1, 2]
    assert helpers() == []


def test_an_error_before_the_first_item():
    def source():
        raise Broken("no items at all")

    with pytest.raises(Broken, match="no items at all"):
        next(ahead(source, 1))
    assert helpers() == []


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_than_depth_are_made_ahead(depth):
    made, counted = threading.Semaphore(0), 0

    def source():
        for i in range(20):
            made.release()
            yield i

    items: Any = ahead(source, depth)
    for taken in range(1, 5):
        assert next(items) == taken - 1
        # Those taken, those waiting, and one in hand.
        while counted < taken + depth + 1:
            assert made.acquire(timeout=60)
            counted += 1
        assert not made.acquire(timeout=0.05)
    items.close()
    assert helpers() == []


@pytest.mark.parametrize("depth", [1, 4])
def test_breaking_off_ends_the_thread(depth):
    closed = []

    def source():
        try:
            yield from range(10**9)
        finally:
            closed.append(True)

    for item in ahead(source, depth):
        assert len(helpers()) == 1
        if item == 3:
            break
    assert helpers() == []
    assert closed == [True]


@pytest.mark.parametrize("length", [1, 4, 50])
@pytest.mark.parametrize("count", [0, 1, 4, 30])
def test_rows_give_the_same_items(length, count):
    assert list(in_rows(range(count), length)) == list(range(count))


def test_a_row_is_made_at_once_and_no_more():
    made = []

    def source():
        for i in range(10):
            made.append(i)
            yield i

    items = in_rows(source(), 4)
    assert made == []
    for taken, expected in enumerate((4, 4, 4, 4, 8, 8, 8, 8, 10, 10)):
        assert next(items) == taken
        assert len(made) == expected
    assert list(items) == []


@pytest.mark.parametrize("before", [0, 1, 4, 6])
def test_a_rows_error_comes_where_the_item_would_have_been(before):
    error = Broken("here")

    def source():
        yield from range(before)
        raise error

    seen = []
    with pytest.raises(Broken) as caught:
        collect(seen, in_rows(source(), 4))
    assert caught.value is error
    assert seen == list(range(before))
